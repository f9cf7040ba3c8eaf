"""What Fivetran keeps of the invented companies: its tables, as rows."""

import csv
import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.fakes.greenhouse import FakeGreenhouse
from tests.fakes.lever import FREE_TEXT, FakeLever

Row = dict[str, Any]
Tables = dict[str, list[Row]]
SYNCED = "2026-11-01 04:00:00.000"


def written(ms: int | None) -> str | None:
    """A time as Fivetran writes it: UTC, without an offset."""
    if ms is None:
        return None
    at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _day(row: Row) -> str | None:
    if not isinstance(row["date"], str):
        return written(row["date"])
    try:
        zone: dt.tzinfo = ZoneInfo(row["timezone"])
    except Exception:
        zone = dt.UTC
    begins = dt.datetime.fromisoformat(row["date"]).replace(tzinfo=zone)
    return written(int(begins.timestamp() * 1000))


def _fields(form: Row) -> Iterable[Row]:
    for index, one in enumerate(form["fields"]):
        base = {"feedback_form_id": form["id"], "field_index": index}
        value = one["value"]
        if one["type"] == "scorecard":
            for n, given in enumerate(value):
                yield {**base, "value_index": n, "value_number": given["score"]}
        elif one["type"] == "textarea":
            yield {**base, "value_index": 0, "value_text": value}
        elif one["type"] == "score" and not isinstance(value, str):
            yield {**base, "value_index": 0, "value_number": value}


def _overall(form: Row) -> Any:
    return form["fields"][0]["value"]


def lever_tables(service: FakeLever) -> Tables:
    """Return Fivetran's tables of the invented company in Lever."""
    rows: Tables = {
        "stage": [dict(one) for one in service.stages],
        "archive_reason": [
            {"id": one["id"], "text": one["text"]} for one in service.reasons
        ],
        "users": [
            {"id": one["id"], "name": one["name"], "email": one["email"],
             "deactivated_at": written(one["deactivatedAt"])}
            for one in service.users
        ],
        "opportunity": [], "opportunity_stage_history": [], "application": [],
        "contact_email": [], "interview": [], "interview_user": [],
        "interview_feedback": [], "feedback_form": [], "feedback_form_field": [],
        "offer": [], "posting": [], "requisition": [], "requisition_posting": [],
    }  # fmt: skip
    managers = {one["id"]: one["hiringManager"] for one in service.postings}
    for one in service.postings:
        about = one["categories"]
        rows["posting"].append(
            {"id": one["id"], "text": one["text"], "owner_id": one["owner"],
             "created_at": written(one["createdAt"]), "content_description": FREE_TEXT,
             **{f"categories_{name}": about.get(name) for name in
                ("team", "department", "location", "level")}}
        )  # fmt: skip
    for one in service.requisitions:
        rows["requisition"].append(
            {"id": one["id"], "status": one["status"], "internal_notes": FREE_TEXT,
             "created_at": written(one["createdAt"]),
             "headcount_total": one["headcountTotal"]}
        )  # fmt: skip
        rows["requisition_posting"] += [
            {"requisition_id": one["id"], "posting_id": posting}
            for posting in one["postings"]
        ]
    for one in service.opportunities.values():
        archived = one["archived"] or {}
        rows["opportunity"].append(
            {"id": one["id"], "contact": one["contact"], "name": one["name"],
             "headline": FREE_TEXT, "location": FREE_TEXT, "origin": one["origin"],
             "created_at": written(one["createdAt"]),
             "updated_at": written(one["updatedAt"]),
             "last_advanced_at": written(one["lastAdvancedAt"]),
             "archived_at": written(archived.get("archivedAt")),
             "archived_reason_id": archived.get("reason"),
             "owner_id": one["owner"], "stage_id": one["stage"],
             "is_anonymized": one["isAnonymized"]}
        )  # fmt: skip
        rows["contact_email"] += [
            {"contact_id": one["contact"], "email": email} for email in one["emails"]
        ]
        if one["id"] not in service.without_moves:
            rows["opportunity_stage_history"] += [
                {"opportunity_id": one["id"], "stage_id": move["toStageId"],
                 "to_stage_index": move["toStageIndex"], "updater_id": "u-1",
                 "updated_at": written(move["updatedAt"])}
                for move in one["stageChanges"] if move["updatedAt"]
            ]  # fmt: skip
    for (stream, parent), children in service.children.items():
        for child in children:
            _child(rows, stream, parent, child, managers)
    # A form has the title of its template.
    titles = {one["id"]: one["text"] for one in service.templates}
    for row in rows["feedback_form"]:
        row["text"] = titles.get(row["template_id"], row["text"])
    for found in rows.values():
        for row in found:
            row |= {"_fivetran_synced": SYNCED}
    return rows


def _child(rows: Tables, stream: str, parent: str, child: Row, managers: Row) -> None:
    own = {"id": child["id"], "opportunity_id": parent}
    if stream == "applications":
        rows["application"].append(
            {**own, "created_at": written(child["createdAt"]), "comments": FREE_TEXT,
             "posting_id": child["posting"],
             "posting_hiring_manager_id": managers.get(child["posting"]),
             "requisition_for_hire_id": (child["requisitionForHire"] or {}).get("id")}
        )  # fmt: skip
    elif stream == "feedback":
        rows["feedback_form"].append(
            {**own, "creator_id": child["user"], "text": child["text"],
             "template_id": child["baseTemplateId"], "instructions": FREE_TEXT,
             "score_system_value": _overall(child),
             "completed_at": written(child["completedAt"]),
             "deleted_at": written(child["deletedAt"])}
        )  # fmt: skip
        rows["feedback_form_field"] += _fields(child)
        if child["interview"]:
            rows["interview_feedback"].append(
                {"interview_id": child["interview"], "feedback_form_id": child["id"]}
            )
    elif stream == "interviews":
        rows["interview"].append(
            {**own, "panel_id": child["panel"], "stage_id": child["stage"],
             "timezone": child["timezone"], "subject": child["subject"],
             "note": FREE_TEXT, "created_at": written(child["createdAt"]),
             "date": _day(child), "duration": child["duration"],
             "canceled_at": written(child["canceledAt"])}
        )  # fmt: skip
        rows["interview_user"] += [
            {"interview_id": child["id"], "user_id": one["id"]}
            for one in child["interviewers"] if one["id"]
        ]  # fmt: skip
    elif stream == "offers":
        rows["offer"].append(
            {**own, "candidate_id": parent, "status": child["status"],
             "created_at": written(child["createdAt"]), "creator_id": child["creator"]}
        )  # fmt: skip


def write(folder: Path, tables: Tables, *, upper: bool = False) -> Path:
    """Write one CSV file per table into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if not columns:
            continue
        name = table.upper() if upper else table
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(
                file, [one.upper() if upper else one for one in columns]
            )
            out.writeheader()
            for row in rows:
                out.writerow({(k.upper() if upper else k): v for k, v in row.items()})
    return folder


# -- Greenhouse -------------------------------------------------------------------

# Table, list of the service, and the columns that both name alike.
_ALIKE = {
    "department": ("departments", "id name"),
    "office": ("offices", "id name location"),
    "source": ("sources", "id name"),
    "close_reason": ("close_reasons", "id name"),
    "users": ("users", "id first_name last_name deactivated primary_email"),
    "job_hiring_manager": ("job_hiring_managers", "id job_id user_id"),
    "job_owner": ("job_owners", "id job_id user_id type"),
    "job_interview_stage": (
        "job_interview_stages",
        "id job_id name sort_order active created_at",
    ),
    "job_interview": ("job_interviews", "id job_interview_stage_id name instructions"),
    "interview_kit": ("interview_kits", "id job_interview_id exercises"),
    "job_candidate_attribute": ("job_candidate_attributes", "id name"),
    "rejection_detail": (
        "rejection_details",
        "application_id rejection_reason_id rejected_at",
    ),
    "candidate": ("candidates", "id first_name last_name company created_at"),
    "application": (
        "applications",
        "id candidate_id job_id prospect status recruiter_id source_id rejected_at"
        " location_address created_at updated_at",
    ),
    "application_stage": (
        "application_stages",
        "id application_id job_interview_stage_id entered_at exited_at created_at"
        " current",
    ),
    "interview": (
        "interviews",
        "id application_id job_interview_id status starts_at ends_at all_day_start_on"
        " location created_at updated_at",
    ),
    "interviewer": (
        "interviewers",
        "id interview_id user_id response_status scorecard_id email",
    ),
    "scorecard": (
        "scorecards",
        "id application_id interview_kit_id interviewer_id status candidate_rating"
        " submitted_at updated_at notes private_notes",
    ),
    "scorecard_candidate_attribute": (
        "scorecard_candidate_attributes",
        "id scorecard_id job_candidate_attribute_id candidate_attribute_rating note"
        " updated_at",
    ),
    "job": (
        "jobs",
        "id name department_id status is_template opened_at closed_at notes",
    ),
}


def _plainly(value: Any) -> Any:
    """A time as Fivetran writes it, and anything else as it is."""
    if isinstance(value, str) and value.endswith("Z") and value[10:11] == "T":
        return value[:-1].replace("T", " ")
    return value


def greenhouse_tables(service: FakeGreenhouse) -> Tables:
    """Return Fivetran's tables of the invented company, as of Harvest v3."""
    lists = {name: list(rows.values()) for name, rows in service.lists.items()}
    tables: Tables = {
        table: [
            {name: _plainly(row.get(name)) for name in columns.split()}
            for row in lists[stream]
        ]
        for table, (stream, columns) in _ALIKE.items()
    }
    stays = {row["id"]: row for row in lists["application_stages"]}
    for row, raw in zip(tables["application"], lists["applications"], strict=True):
        row["stage_id"] = stays.get(raw["stage_id"], {}).get("job_interview_stage_id")
    tables["rejection_reason"] = [
        {"id": one["id"], "name": one["name"], "type_key": one["type"]["key"],
         "type_name": one["type"]["name"]}
        for one in lists["rejection_reasons"]
    ]  # fmt: skip
    tables["candidate_email_address"] = [
        {"candidate_id": one["id"], "index": n, "type": "other", "value": at["value"]}
        for one in lists["candidates"] for n, at in enumerate(one["email_addresses"])
    ]  # fmt: skip
    tables["job_office"] = [
        {"job_id": one["id"], "office_id": office}
        for one in lists["jobs"] for office in one["office_ids"]
    ]  # fmt: skip
    tables["opening"] = [
        {"id": one["id"], "job_id": one["job_id"], "is_open": one["open"],
         "opening_id": one["opening_id"], "application_id": one["application_id"],
         "opened_at": _plainly(one["opened_at"]),
         "closed_at": _plainly(one["closed_at"]),
         "close_reason_id": one["close_reason_id"]}
        for one in lists["openings"]
    ]  # fmt: skip
    tables["offer"] = [
        {name: _plainly(one.get(name)) for name in (
            "id", "version", "application_id", "status", "sent_on", "starts_on",
            "resolved_at", "created_at", "updated_at")}
        for one in lists["offers"]
    ]  # fmt: skip
    tables["eeoc"] = [
        {"application_id": one["application_id"], "id": one["id"],
         "gender_description": _worded(one["gender"]),
         "race_description": _worded(one["race"]),
         "veteran_status_description": (one["veteran_status"] or {}).get("description"),
         "veteran_status_message": (one["veteran_status"] or {}).get("message"),
         "disability_status_description": _worded(one["disability_status"])}
        for one in lists["eeoc"]
    ]  # fmt: skip
    for found in tables.values():
        for row in found:
            row |= {"_fivetran_deleted": False, "_fivetran_synced": SYNCED}
    return tables


def _worded(answer: Row | None) -> str | None:
    return answer["description"] if answer else None


def greenhouse_v1_tables(service: FakeGreenhouse) -> Tables:
    """Return the same company in the tables of before, with webhooks since day 0."""
    new = greenhouse_tables(service)
    stages = {row["id"]: row for row in new["job_interview_stage"]}
    interviews = {row["id"]: row for row in new["job_interview"]}
    kits = {row["id"]: row["job_interview_id"] for row in new["interview_kit"]}
    names = {row["id"]: row["name"] for row in new["job_candidate_attribute"]}
    reasons = {
        row["application_id"]: row["rejection_reason_id"]
        for row in new["rejection_detail"]
    }
    kept = (
        "department", "office", "source", "close_reason", "candidate", "job_office",
        "eeoc", "offer",
    )  # fmt: skip
    tables: Tables = {name: new[name] for name in kept}
    words = {"WE_REJECTED_THEM": "We rejected them",
             "THEY_REJECTED_US": "They rejected us",
             "NONE_SPECIFIED": "None specified"}  # fmt: skip
    tables["rejection_reason"] = [
        {"id": row["id"], "name": row["name"],
         "type_name": words.get(row["type_key"], "Parked")}
        for row in new["rejection_reason"]
    ]  # fmt: skip
    tables["user"] = [
        {**{k: v for k, v in row.items() if k != "deactivated"},
         "disabled": row["deactivated"]}
        for row in new["users"]
    ]  # fmt: skip
    tables["application"] = [
        {"id": row["id"], "candidate_id": row["candidate_id"],
         "prospect": row["prospect"], "current_stage_id": row["stage_id"],
         "status": "active" if row["status"] == "in_process" else row["status"],
         "source_id": row["source_id"], "rejected_at": row["rejected_at"],
         "rejected_reason_id": reasons.get(row["id"]),
         "applied_at": row["created_at"], "last_activity_at": row["updated_at"],
         "is_deleted": False, "location_address": FREE_TEXT,
         "_fivetran_deleted": False, "_fivetran_synced": SYNCED}
        for row in new["application"]
    ]  # fmt: skip
    recruiters = {
        row["candidate_id"]: row["recruiter_id"] for row in new["application"]
    }
    tables["candidate"] = [
        {**row, "recruiter_id": recruiters.get(row["id"])} for row in new["candidate"]
    ]
    tables["job_application"] = [
        {"application_id": row["id"], "job_id": row["job_id"]}
        for row in new["application"] if row["job_id"]
    ]  # fmt: skip
    tables["application_history"] = [
        {"application_id": row["application_id"], "new_status": "active",
         "new_stage_id": row["job_interview_stage_id"],
         "updated_at": row["entered_at"]}
        for row in new["application_stage"] if row["entered_at"]
    ] + [
        {"application_id": row["id"], "new_status": row["status"],
         "new_stage_id": row["stage_id"],
         "updated_at": row["rejected_at"] or row["updated_at"]}
        for row in new["application"] if row["status"] in ("rejected", "hired")
    ]  # fmt: skip
    tables["job"] = [
        {k: v for k, v in row.items() if k not in ("department_id", "is_template")}
        for row in new["job"] if not row["is_template"]
    ]  # fmt: skip
    tables["job_department"] = [
        {"job_id": row["id"], "department_id": row["department_id"]}
        for row in new["job"] if row["department_id"]
    ]  # fmt: skip
    tables["job_stage"] = [
        {name: row[name] for name in ("id", "job_id", "name", "created_at")}
        for row in stages.values()
    ]
    tables["email_address"] = new["candidate_email_address"]
    tables["hiring_team"] = [
        {"job_id": row["job_id"], "user_id": row["user_id"], "role": "hiring managers"}
        for row in new["job_hiring_manager"]
    ] + [
        {"job_id": row["job_id"], "user_id": row["user_id"], "role": f"{row['type']}s"}
        for row in new["job_owner"]
    ]  # fmt: skip
    tables["job_opening"] = [
        {**row, "status": "open" if row["is_open"] else "closed"}
        for row in new["opening"]
    ]
    tables["interview"] = [
        {"id": row["id"], "name": row["name"], "interview_kit_content": FREE_TEXT,
         "job_stage_id": row["job_interview_stage_id"]}
        for row in interviews.values()
    ]  # fmt: skip
    tables["scheduled_interview"] = [
        {"id": row["id"], "application_id": row["application_id"],
         "interview_id": row["job_interview_id"], "status": row["status"],
         "start": row["starts_at"] or row["all_day_start_on"] or row["created_at"],
         "end": row["ends_at"], "location": FREE_TEXT,
         "created_at": row["created_at"], "updated_at": row["updated_at"]}
        for row in new["interview"] if row["starts_at"] or row["all_day_start_on"]
    ]  # fmt: skip
    tables["scheduled_interviewer"] = [
        {"scheduled_interview_id": row["interview_id"],
         "interviewer_id": row["user_id"], "scorecard_id": row["scorecard_id"]}
        for row in new["interviewer"] if row["user_id"]
    ]  # fmt: skip
    tables["scorecard"] = [
        {"id": row["id"], "application_id": row["application_id"],
         "interview": interviews[kits[row["interview_kit_id"]]]["name"]
         if row["interview_kit_id"] else "Chat",
         "overall_recommendation": row["candidate_rating"],
         "submitted_at": row["submitted_at"],
         "submitted_by_user_id": row["interviewer_id"],
         "updated_at": row["updated_at"]}
        for row in new["scorecard"]
    ]  # fmt: skip
    tables["scorecard_attribute"] = [
        {"scorecard_id": row["scorecard_id"], "index": row["id"],
         "name": names[row["job_candidate_attribute_id"]], "note": row["note"],
         "rating": row["candidate_attribute_rating"], "type": "Skills"}
        for row in new["scorecard_candidate_attribute"]
    ]  # fmt: skip
    return tables
