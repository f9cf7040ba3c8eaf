"""A small invented company in Lever, with the service's habits and its traps."""

import base64
import datetime as dt
import json
from typing import Any

from tests.fakes.service import FakeService, Reply, Request

KEY = "canary-key-1e7e"
NAME = "Canary-7f3a"
FREE_TEXT = "free-text-canary-91c2"
DAY = 86_400_000
HOUR = 3_600_000
START = int(dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC).timestamp() * 1000)
# Position of each stage in the pipeline; the list of stages does not tell it.
STAGES = {
    "lead-new": (0, "New lead"),
    "applicant-new": (1, "New applicant"),
    "7c1e-phone": (2, "Phone screen scheduled"),
    "8d2f-phone": (3, "Phone screen done"),
    "9e3a-onsite": (4, "On-site interview"),
    "af4b-offer": (5, "Offer"),
}
REASONS = {
    "r-hired": ("Hired", "hired"),
    "r-skills": ("Underqualified", "non-hired"),
    "r-other": ("Accepted another offer", "non-hired"),
    "r-declined": ("Candidate declined offer", "non-hired"),
    "r-closed": ("Position closed", "non-hired"),
    "r-future": ("Parked", "hibernated"),
}
FORBIDDEN = Reply({"code": "Forbidden", "message": "Insufficient scope"}, 403)
NOT_FOUND = Reply({"code": "ResourceNotFound", "message": "not found"}, 404)
OVER_LIMIT = Reply({"code": "TooManyRequests", "message": "Rate limit"}, 429,
                   {"Retry-After": "1"})  # fmt: skip

Raw = dict[str, Any]


class FakeLever(FakeService):
    """Answers as section by section of the vendor's documentation says.

    Lists come newest first, with an opaque token of the last record as the next place.
    Tests may set `most` (records per page, however many are asked for), `refused`
    (resources that the key may not read), `is_overlapping` (each page begins with the
    last record of the one before), `has_empty_page` (an empty page with a next one is
    the first), `is_looping` (the next page is always the second), `forgets_places`,
    `skipped` (opportunities that the list leaves out, as one that changes while it is
    read may do), `has_hired_date` (whether EEO responses tell it; the vendor's example
    of the anonymous ones does not) and `bucket` (requests left; None for no limit, else
    ten come back per second of the service's clock).
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 7
        self.refused: set[str] = set()
        self.is_overlapping = self.has_empty_page = self.is_looping = False
        self.forgets_places = False
        self.has_hired_date = True
        self.bucket: float | None = None
        self._filled_at = self.now
        self.without_moves: set[str] = set()
        self.skipped: set[str] = set()
        self.opportunities: dict[str, Raw] = {}
        self.deleted: list[Raw] = []
        self.children: dict[tuple[str, str], list[Raw]] = {}
        self.eeo: dict[str, Raw] = {}
        self.stages = [{"id": k, "text": text} for k, (_, text) in STAGES.items()]
        self.reasons = [
            {"id": k, "text": text, "status": "active", "type": kind}
            for k, (text, kind) in REASONS.items()
        ]
        self.templates = [
            {"id": "t-system", "text": "System design", "instructions": FREE_TEXT},
            {"id": "t-coding", "text": "Coding", "instructions": FREE_TEXT},
        ]
        self.users = [
            {"id": f"u-{n}", "name": f"{NAME} User {n}", "email": f"{NAME}-{n}@x.io",
             "deactivatedAt": START if n == 4 else None}
            for n in range(1, 5)
        ]  # fmt: skip
        self.postings = [
            _posting("p-ml", "ML engineer", "Engineering", "ML"),
            _posting("p-sales", "Account executive", None, "Sales"),
            _posting("p-hush", "Chief of staff", None, None, "confidential"),
        ]
        self.requisitions = [
            {"id": "q-ml", "requisitionCode": "ENG-1", "name": FREE_TEXT,
             "status": "open", "headcountTotal": 2, "headcountHired": 1,
             "createdAt": START - 30 * DAY, "closedAt": None, "postings": ["p-ml"],
             "compensationBand": {"min": 123456}},
            {"id": "q-draft", "status": "draft", "headcountTotal": 1,
             "createdAt": START, "closedAt": None, "postings": ["p-ml"]},
        ]  # fmt: skip
        self._found()

    # -- the company --------------------------------------------------------------

    @property
    def ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def _found(self) -> None:
        """Hire some, reject some, and let everything happen that does happen."""
        for n in range(1, 10):
            o = self.apply(f"o-{n:02}", day=n, posting="p-ml" if n % 3 else "p-sales")
            if n % 2:
                self._moved(o, "7c1e-phone", START + (n + 2) * DAY)
                self._moved(o, "8d2f-phone", START + (n + 3) * DAY)
            if n % 4 == 1:
                self._moved(o, "9e3a-onsite", START + (n + 5) * DAY)
                self._interviewed(o, START + (n + 6) * DAY)
        hired = self.apply("o-hired", day=1, requisition="q-ml")
        for days, stage in enumerate(list(STAGES)[2:]):
            self._moved(hired, stage, START + (days + 2) * DAY)
        self._interviewed(hired, START + 5 * DAY, template="t-coding")
        self._offer(hired, "signed", sent=START + 9 * DAY, signed=START + 11 * DAY)
        self._archived(hired, "r-hired", START + 12 * DAY)
        self._archived(self.apply("o-rejected", day=2), "r-skills", START + 9 * DAY)
        again = self.apply("o-again", day=40)
        again["contact"] = "c-o-rejected"
        left = self.apply("o-left", day=3)
        self._moved(left, "af4b-offer", START + 8 * DAY)
        self._offer(left, "denied", sent=START + 9 * DAY)
        self._offer(left, "sent", sent=START + 10 * DAY, number=2)
        self._offer(left, "draft", number=3)
        self._archived(left, "r-other", START + 14 * DAY)
        back = self.apply("o-back", day=4)
        for days, stage in enumerate(("7c1e-phone", "9e3a-onsite", "8d2f-phone",
                                      "9e3a-onsite")):  # fmt: skip
            self._moved(back, stage, START + (6 + days) * DAY)
        # From before `updatedAt` was kept, and listed without its moves.
        old = self.apply("o-old", day=-200)
        old |= {"updatedAt": None, "lastAdvancedAt": START - 190 * DAY}
        old["stage"] = "8d2f-phone"
        self.without_moves.add("o-old")
        undated = self.apply("o-undated", day=5)
        self._moved(undated, "7c1e-phone", None)
        self._moved(undated, "9e3a-onsite", START + 9 * DAY)
        self.apply("o-lead", day=6, posting=None)
        hush = self.apply("o-hush", day=7, posting="p-hush")
        hush["confidentiality"] = "confidential"
        self._odd_interviews(self.apply("o-odd", day=-90))

    def apply(
        self,
        id_: str,
        *,
        day: int,
        posting: str | None = "p-ml",
        requisition: str | None = None,
    ) -> Raw:
        at = START + day * DAY
        first = "applicant-new" if posting else "lead-new"
        self.opportunities[id_] = {
            "id": id_, "name": f"{NAME} {id_}", "headline": FREE_TEXT,
            "contact": f"c-{id_}", "emails": [f"{NAME}-{id_}@x.example".lower()],
            "phones": [{"type": "mobile", "value": FREE_TEXT}], "links": [FREE_TEXT],
            "confidentiality": "non-confidential", "location": FREE_TEXT,
            "createdAt": at, "updatedAt": at, "lastInteractionAt": at,
            "lastAdvancedAt": at, "snoozedUntil": None, "archived": None,
            "stage": first, "stageChanges": [_change(first, at)], "owner": "u-1",
            "origin": "applied" if posting else "sourced", "sources": [FREE_TEXT],
            "tags": [FREE_TEXT], "applications": [f"a-{id_}"] if posting else [],
            "resume": FREE_TEXT, "isAnonymized": False,
        }  # fmt: skip
        if posting:
            self.children["applications", id_] = [
                {"id": f"a-{id_}", "opportunityId": id_, "createdAt": at,
                 "type": "posting", "posting": posting, "name": f"{NAME} {id_}",
                 "comments": FREE_TEXT, "customQuestions": [{"text": FREE_TEXT}],
                 "requisitionForHire": {"id": requisition} if requisition else None}
            ]  # fmt: skip
            self.eeo[id_] = {
                "opportunityId": id_, "contact": f"c-{id_}", "appliedAt": str(at),
                "gender": "Decline to self-identify" if id_.endswith("4") else "Female",
                "race": "Asian (Not Hispanic or Latino)", "veteran": None,
                "disability": "I do not want to answer" if day < -99 else "No",
                "posting": posting,
                "currentStage": first, "eeoSurveyRespondedAt": str(at),
            }  # fmt: skip
        return self.opportunities[id_]

    def _moved(self, o: Raw, stage: str, at: int | None) -> None:
        o["stageChanges"].append(_change(stage, at))
        o["stage"] = stage
        if at is not None:
            o |= {"updatedAt": at, "lastAdvancedAt": at}

    def _archived(self, o: Raw, reason: str, at: int) -> None:
        o |= {"archived": {"archivedAt": at, "reason": reason}, "updatedAt": at}

    def _interviewed(self, o: Raw, at: int, template: str = "t-system") -> None:
        interview = f"i-{o['id']}"
        self._interview(o, interview, at, template=template, form=f"f-{o['id']}")
        self.fill(o["id"], f"f-{o['id']}", at=at + 2 * HOUR, interview=interview,
                  template=template)  # fmt: skip

    def _interview(self, o: Raw, id_: str, at: Any, **about: Any) -> Raw:
        template, form = about.pop("template", "t-system"), about.pop("form", None)
        one = {
            "id": id_, "panel": f"n-{id_}", "subject": f"On-site - {NAME} {o['id']}",
            "note": FREE_TEXT, "timezone": "America/Los_Angeles",
            "interviewers": [
                {"id": "u-2", "email": f"{NAME}-2@x.example", "name": f"{NAME} User 2"},
                # A guest from outside: an address and no user.
                {"id": None, "email": f"{NAME}-guest@y.example", "name": NAME},
            ],
            "createdAt": START, "date": at, "duration": 45, "location": FREE_TEXT,
            "feedbackTemplate": template, "feedbackForms": [form] if form else [],
            "user": "u-1", "stage": "9e3a-onsite", "canceledAt": None,
            "postings": ["p-ml"], **about,
        }  # fmt: skip
        self.children.setdefault(("interviews", o["id"]), []).append(one)
        self.children.setdefault(("panels", o["id"]), []).append(
            {"id": f"n-{id_}", "canceledAt": None, "createdAt": START,
             "note": FREE_TEXT, "interviews": [one], "user": "u-1"}
        )  # fmt: skip
        return one

    def fill(
        self,
        opportunity: str,
        form: str,
        *,
        at: int | None = None,
        interview: str | None = None,
        template: str | None = "t-system",
        **about: Any,
    ) -> Raw:
        """Fill a feedback form; that does not move the opportunity's `updatedAt`."""
        at = self.ms if at is None else at
        filled = {
            "id": form, "type": "interview", "text": "System design",
            "instructions": FREE_TEXT, "baseTemplateId": template, "user": "u-2",
            "panel": None, "interview": interview, "createdAt": at, "updatedAt": None,
            "completedAt": at, "deletedAt": None,
            "fields": [
                {"id": f"{form}-1", "type": "score-system", "text": "Rating",
                 "value": "3 - Hire"},
                {"id": f"{form}-2", "type": "score", "text": "Depth", "value": 4},
                {"id": f"{form}-3", "type": "score", "text": "Breadth", "value": None},
                {"id": f"{form}-4", "type": "scorecard", "text": "Competencies",
                 "scores": [{"text": "RAG", "description": FREE_TEXT},
                            {"text": "Evaluation", "description": FREE_TEXT}],
                 "value": [{"score": 3, "comment": FREE_TEXT},
                           {"score": 2, "comment": ""}]},
                {"id": f"{form}-5", "type": "textarea", "text": "Notes",
                 "value": f"<p>{FREE_TEXT} <script>x</script></p>"},
            ],
            **about,
        }  # fmt: skip
        self.children.setdefault(("feedback", opportunity), []).append(filled)
        return filled

    def _offer(
        self,
        o: Raw,
        status: str,
        *,
        sent: int | None = None,
        signed: int | None = None,
        number: int = 1,
    ) -> None:
        self.children.setdefault(("offers", o["id"]), []).append(
            {"id": f"x-{o['id']}-{number}", "createdAt": START + 7 * DAY,
             "status": status, "creator": "u-1", "approvedAt": START + 8 * DAY,
             "sentAt": sent,
             "fields": [
                 {"text": "Salary", "identifier": "salary_amount", "value": 123456},
                 {"text": "Start date", "identifier": "anticipated_start_date",
                  "value": START + 60 * DAY},
             ],
             "signatures": {"candidate": {"name": NAME, "signedAt": signed}}}
        )  # fmt: skip

    def _odd_interviews(self, o: Raw) -> None:
        """Days, nights when clocks change, and forms that belong to no interview."""
        before = _utc("2026-03-08 09:30")  # 01:30 in Los Angeles, half an hour before
        self._interview(o, "i-before-gap", before, duration=60)
        self._interview(o, "i-after-gap", before + HOUR)  # 03:30 there
        self._interview(o, "i-day", "2026-03-29", timezone="Europe/Berlin",
                        duration=1500)  # fmt: skip
        self._interview(o, "i-nowhere", "2026-03-29", timezone="Mars/Olympus")
        self._interview(
            o, "i-off", _utc("2026-04-01 10:00"), canceledAt=START - 80 * DAY
        )
        guest = {"id": None, "email": f"{NAME}-guest@y.example", "name": NAME}
        self._interview(o, "i-guests", _utc("2026-04-02 10:00"), interviewers=[guest])
        self._interview(o, "i-undated", None)
        at = _utc("2026-04-03 10:00")
        self.fill("o-odd", "f-by-hand", at=at, template=None, user="u-3")
        self.fill("o-odd", "f-draft", at=at, completedAt=None)
        self.fill("o-odd", "f-deleted", at=at, deletedAt=at + DAY)
        self.fill("o-odd", "f-nobody", at=at, user=None)
        self.fill("o-odd", "f-gone-user", at=at, user="u-99")
        unrated = self.fill("o-odd", "f-null", at=at)
        unrated["fields"][0]["value"] = "null"
        unrated["fields"][1]["value"] = None
        older = self.fill("o-odd", "f-older", at=at, updatedAt=at + DAY)
        older["fields"][0] |= {"type": "score", "value": "1 - Strong No Hire"}
        twice = self.fill("o-odd", "f-twice", at=at)
        twice["fields"].append(
            {"id": "f-twice-6", "type": "score", "text": "Depth", "value": 1}
        )

    # -- what happens between two syncs ---------------------------------------------

    def pass_time(self, **about: float) -> None:
        self.now += dt.timedelta(**about)

    def move(self, id_: str, stage: str) -> None:
        self._moved(self.opportunities[id_], stage, self.ms)

    def archive(self, id_: str, reason: str) -> None:
        self._archived(self.opportunities[id_], reason, self.ms)

    def unarchive(self, id_: str) -> None:
        self.opportunities[id_] |= {"archived": None, "updatedAt": self.ms}

    def touch(self, id_: str) -> None:
        self.opportunities[id_]["updatedAt"] = self.ms

    def delete(self, id_: str) -> None:
        self.opportunities.pop(id_)
        self.deleted.append({"id": id_, "deletedAt": self.ms, "deletedBy": "u-1"})
        self.eeo.pop(id_, None)
        for key in [key for key in self.children if key[1] == id_]:
            del self.children[key]

    def anonymise(self, id_: str) -> None:
        self.opportunities[id_] |= {
            "isAnonymized": True, "name": f"{NAME} anonymised", "emails": [],
            "stageChanges": [], "updatedAt": self.ms,
        }  # fmt: skip
        self.children.pop(("feedback", id_), None)
        self.eeo.pop(id_, None)

    # -- the service ----------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        expected = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
        if request.headers.get("Authorization") != expected:
            return Reply({"code": "Unauthorized", "message": KEY}, 401)
        if self.bucket is not None and not self._has_token():
            return OVER_LIMIT
        path = request.path.removeprefix("/v1/")
        words = path.split("/")
        resource = words[2] if len(words) == 3 and words[0] == "opportunities" else path
        if resource in self.refused:
            return FORBIDDEN
        if path.startswith("eeo/responses"):
            return self._eeo(path, request.query)
        if path == "opportunities":
            return self._page(self._opportunities(request.query), request.query)
        if path == "opportunities/deleted":
            since = int(request.query.get("deleted_at_start", 0))
            found = [row for row in self.deleted if row["deletedAt"] >= since]
            return self._page(found, request.query)
        if words[0] == "opportunities":
            if words[1] not in self.opportunities:
                return NOT_FOUND
            if len(words) == 2:
                return Reply({"data": self.opportunities[words[1]]})
            found = self.children.get((words[2], words[1]), [])
            return self._page(found, request.query)
        lists = {
            "stages": self.stages, "archive_reasons": self.reasons,
            "feedback_templates": self.templates, "requisitions": self.requisitions,
            "postings": self._seen(self.postings, request.query),
            "users": [
                user for user in self.users
                if request.query.get("includeDeactivated") or not user["deactivatedAt"]
            ],
        }  # fmt: skip
        return self._page(lists[path], request.query) if path in lists else NOT_FOUND

    def _has_token(self) -> bool:
        assert self.bucket is not None
        seconds = (self.now - self._filled_at).total_seconds()
        self.bucket = min(self.bucket + 10 * seconds, 20.0)
        self._filled_at = self.now
        if self.bucket < 1:
            return False
        self.bucket -= 1
        return True

    def _opportunities(self, query: dict[str, str]) -> list[Raw]:
        since = query.get("updated_at_start")
        found = [
            o for o in self._seen(list(self.opportunities.values()), query)
            # One without a time of change is in no window of changes.
            if (since is None or (o["updatedAt"] or 0) >= int(since))
            and o["id"] not in self.skipped
        ]  # fmt: skip
        return [
            {k: v for k, v in o.items()
             if k != "stageChanges" or o["id"] not in self.without_moves}
            for o in sorted(found, key=lambda o: (-o["createdAt"], o["id"]))
        ]  # fmt: skip

    def _seen(self, rows: list[Raw], query: dict[str, str]) -> list[Raw]:
        if query.get("confidentiality") == "all":
            return rows
        return [row for row in rows if row.get("confidentiality") != "confidential"]

    def _eeo(self, path: str, query: dict[str, str]) -> Reply:
        """Answers of the last week, unless a beginning is asked for."""
        begins = "created_at_start" if path.endswith("pii") else "fromDate"
        since = int(query.get(begins, self.ms - 7 * DAY))
        found = [
            {**row, **self._state(self.opportunities.get(row["opportunityId"], {}))}
            for row in self.eeo.values()
            if not str(row["appliedAt"]).isdigit() or int(row["appliedAt"]) >= since
        ]
        if not path.endswith("pii"):
            found = [
                {k: v for k, v in row.items() if k not in ("opportunityId", "contact")}
                for row in found
            ]
        return Reply({"data": {"eeoResponses": found}})

    def _state(self, o: Raw) -> Raw:
        """What EEO responses tell of an opportunity, as it is today."""
        archived = o.get("archived") or {}
        at = archived.get("archivedAt")
        state = {
            "applicationArchivedAt": at, "applicationArchivedBy": "u-1" if at else None,
            "currentStage": o.get("stage"), "hiringManager": "u-3", "origin": "applied",
            "requisitionCodes": ["ENG-1"], "source": FREE_TEXT,
            "disabilitySignatureDate": "11/21/2022",
        }  # fmt: skip
        if self.has_hired_date:
            state["hiredDate"] = at if archived.get("reason") == "r-hired" else None
        return state

    def _page(self, rows: list[Raw], query: dict[str, str]) -> Reply:
        start, most = 0, min(int(query.get("limit", 100)), self.most)
        token = query.get("offset")
        if token:
            try:
                last = json.loads(base64.b64decode(token))["after"]
            except ValueError:
                last = None
            ids = [row["id"] for row in rows]
            if self.forgets_places or (last and last not in ids):
                return Reply({"code": "InvalidOffset", "message": "offset"}, 400)
            start = ids.index(last) + (0 if self.is_overlapping else 1) if last else 0
        elif self.has_empty_page:
            return Reply({"data": [], "next": _token(""), "hasNext": True})
        page = rows[start : start + most]
        if start + most >= len(rows):
            return Reply({"data": page, "hasNext": False})
        after = rows[0]["id"] if self.is_looping else page[-1]["id"]
        return Reply({"data": page, "next": _token(after), "hasNext": True})


def _token(after: str) -> str:
    return base64.b64encode(json.dumps({"after": after}).encode()).decode()


def _change(stage: str, at: int | None) -> Raw:
    return {"toStageId": stage, "toStageIndex": STAGES[stage][0], "userId": "u-1",
            "updatedAt": at}  # fmt: skip


def _posting(
    id_: str, text: str, department: str | None, team: str | None,
    confidentiality: str = "non-confidential",
) -> Raw:  # fmt: skip
    return {
        "id": id_, "text": text, "createdAt": START - 40 * DAY, "state": "published",
        "owner": "u-1", "hiringManager": "u-3", "confidentiality": confidentiality,
        "categories": {"department": department, "team": team, "location": "Berlin",
                       "level": "Senior", "commitment": "Full-time"},
        "content": {"description": FREE_TEXT}, "salaryRange": {"min": 123456},
    }  # fmt: skip


def _utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)
