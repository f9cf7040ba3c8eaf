"""An Ashby of an invented company: POST only, and errors with HTTP 200."""

import base64
import datetime as dt
import json
from typing import Any

from tests.fakes.service import FakeService, Reply, Request

KEY = "canary-ashby-key-4d20"
# In every name and address, and in every text that nobody may keep.
PERSON = "Canary-7f3a"
TEXT = "canary-text-c81e"

PERMISSIONS = {
    "application.list": "candidatesRead",
    "application.listHistory": "candidatesRead",
    "applicationFeedback.list": "candidatesRead",
    "job.list": "jobsRead",
    "opening.list": "jobsRead",
    "interview.list": "interviewsRead",
    "interviewPlan.list": "interviewsRead",
    "interviewSchedule.list": "interviewsRead",
    "interviewStage.list": "interviewsRead",
    "interviewStageGroup.list": "interviewsRead",
    "department.list": "organizationRead",
    "user.list": "organizationRead",
    "archiveReason.list": "hiringProcessMetadataRead",
    "offer.list": "offersRead",
}
# Lists that give no token: all of them is read each time.
WITHOUT_TOKEN = {"interviewStageGroup.list", "archiveReason.list", "interview.list"}
PLANS = {
    "plan-eng": (
        ("Lead", "Lead"), ("Application Review", "PreInterviewScreen"),
        ("Recruiter Call", "Active"), ("Technical", "Active"), ("Onsite", "Active"),
        ("Offer", "Offer"), ("Hired", "Hired"), ("Archived", "Archived"),
    ),
    "plan-sales": (
        ("Lead", "Lead"), ("Application Review", "PreInterviewScreen"),
        ("Recruiter Call", "Active"), ("Sales Panel", "Active"),
        ("Offer", "Offer"), ("Hired", "Hired"), ("Archived", "Archived"),
    ),
}  # fmt: skip
JOBS = {
    "job-1": ("Backend Engineer", "dep-eng", "plan-eng"),
    "job-2": ("RAG Engineer", "dep-eng", "plan-eng"),
    "job-3": ("Account Executive", "dep-sales", "plan-sales"),
}
REASONS = {
    "r-money": ("Compensation", "RejectedByCandidate"),
    "r-skills": ("Lacks skills", "RejectedByOrg"),
    "r-closed": ("Job closed", "Other"),
}
FORM = {
    "sections": [
        {
            "title": "Scorecard",
            "fields": [
                {"isRequired": True, "field": {
                    "id": "f1", "type": "ValueSelect", "path": "overall_recommendation",
                    "title": "Overall", "selectableValues": [
                        {"label": f"Level {n}", "value": str(n)} for n in (1, 2, 3, 4)
                    ]}},
                {"field": {"id": "f2", "type": "Score", "path": "rag_design",
                           "title": "RAG design"}},
                {"field": {"id": "f3", "type": "Score", "path": "communication",
                           "title": "Communication"}},
                {"field": {"id": "f4", "type": "ValueSelect", "path": "depth",
                           "title": "Depth", "selectableValues": [
                               {"label": "Low", "value": "1"},
                               {"label": "High", "value": "4"}]}},
                {"field": {"id": "f5", "type": "ValueSelect", "path": "site",
                           "title": "Site", "selectableValues": [
                               {"label": TEXT, "value": TEXT},
                               {"label": "There", "value": "there"}]}},
                {"field": {"id": "f6", "type": "RichText", "path": "notes",
                           "title": "Notes"}},
            ],
        }
    ]
}  # fmt: skip


def stamp(instant: dt.datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.000Z")


class FakeAshby(FakeService):
    """Lists, tokens, cursors, permissions and limits; the company is in `company`."""

    def __init__(self, n_applications: int = 13) -> None:
        super().__init__()
        self.permissions = set(PERMISSIONS.values())
        # Ashby tells a missing permission with 403, or with 200 and success false.
        self.forbidden_status = 403
        self.page_size = 5
        self.requests_per_window: int | None = None
        self.is_too_large = False
        self.repeats_cursor = False
        self.has_empty_pages = False
        self.lists: dict[str, dict[str, dict[str, Any]]] = {
            action: {} for action in PERMISSIONS
        }
        self.changed: dict[tuple[str, str], int] = {}
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.deleted: set[str] = set()
        self._clock = 0
        self._epoch = self._n_given = 0
        self._company()
        for number in range(1, n_applications + 1):
            self._apply_by_script(number)
        self._window: tuple[dt.datetime, int] = (self.now, 0)

    # What happens at the company.

    def put(self, action: str, item: dict[str, Any]) -> None:
        self._clock += 1
        self.lists[action][item["id"]] = item
        self.changed[action, item["id"]] = self._clock

    def pass_time(self, **by: float) -> None:
        self.now += dt.timedelta(**by)

    def touch(self, application: str) -> dict[str, Any]:
        item = self.lists["application.list"][application]
        item["updatedAt"] = stamp(self.now)
        self.put("application.list", item)
        return item

    def apply(self, number: int, job: str, *, lead: bool = False) -> str:
        id_ = f"app-{number:03}"
        title, department, _ = JOBS[job]
        self.history[id_] = []
        self.put(
            "application.list",
            {
                "id": id_, "createdAt": stamp(self.now), "updatedAt": stamp(self.now),
                "status": "Lead" if lead else "Active", "archivedAt": None,
                "candidate": {
                    "id": f"cand-{number:03}", "name": f"{PERSON} Applicant {number}",
                    "primaryEmailAddress": {
                        "value": f"{PERSON}.{number}@example.org", "type": "Personal",
                        "isPrimary": True},
                    "primaryPhoneNumber": {"value": f"+49 {TEXT}"}},
                "currentInterviewStage": None,
                "source": {"id": "s1", "title": "Referral", "isArchived": False},
                "archiveReason": None,
                "job": {"id": job, "title": title, "departmentId": department},
                "creditedToUser": None,
                "hiringTeam": [
                    {"userId": "user-1", "role": "Recruiter", "email": TEXT},
                    {"userId": "user-2", "role": "Hiring Manager", "email": TEXT}],
                "customFields": [{"id": "c1", "title": "Salary", "value": TEXT}],
            },
        )  # fmt: skip
        self.move(id_, "Lead" if lead else "Application Review")
        return id_

    def stage(self, application: str, title: str) -> dict[str, Any]:
        job = self.lists["application.list"][application]["job"]["id"]
        stages = self.lists["interviewStage.list"].values()
        return next(
            stage
            for stage in stages
            if stage["title"] == title and stage["interviewPlanId"] == JOBS[job][2]
        )

    def move(self, application: str, title: str) -> None:
        visits = self.history[application]
        stage = self.stage(application, title)
        if visits:
            visits[-1]["leftStageAt"] = stamp(self.now)
        visits.append(
            {
                "id": f"{application}-h{len(visits) + 1}", "stageId": stage["id"],
                "title": title, "enteredStageAt": stamp(self.now), "leftStageAt": None,
                "stageNumber": stage["orderInInterviewPlan"], "actorId": "user-1",
                "allowedActions": ["set_entered_at", "delete"],
            }
        )  # fmt: skip
        item = self.touch(application)
        item["currentInterviewStage"] = stage
        kinds = {"Lead": "Lead", "Hired": "Hired", "Archived": "Archived"}
        item["status"] = kinds.get(stage["type"], "Active")
        if item["status"] != "Archived":
            item["archivedAt"] = item["archiveReason"] = None

    def archive(self, application: str, reason: str) -> None:
        self.move(application, "Archived")
        item = self.touch(application)
        text, kind = REASONS[reason]
        item["archivedAt"] = stamp(self.now)
        item["archiveReason"] = {
            "id": reason, "text": text, "reasonType": kind, "isArchived": False,
            "customFields": [{"value": TEXT}],
        }  # fmt: skip

    def back_date(self, application: str, visit: int, instant: dt.datetime) -> None:
        """As application.updateHistory does."""
        self.history[application][visit]["enteredStageAt"] = stamp(instant)
        self.touch(application)

    def delete(self, application: str) -> None:
        for action in ("applicationFeedback.list", "interviewSchedule.list",
                       "offer.list"):  # fmt: skip
            gone = [
                id_
                for id_, item in self.lists[action].items()
                if item["applicationId"] == application
            ]
            for id_ in gone:
                del self.lists[action][id_]
        del self.lists["application.list"][application]
        self.deleted.add(application)

    def interview(
        self,
        application: str,
        title: str,
        interviewers: list[dict[str, Any]],
        *,
        status: str = "Complete",
        interview: str | None = None,
    ) -> str:
        """A schedule with one event, named after the application's n-th visit."""
        stage = self.stage(application, title)
        id_ = f"sched-{application}-{stage['id']}"
        event = f"event-{application}-{stage['id']}"
        self.put(
            "interviewSchedule.list",
            {
                "id": id_, "status": status, "applicationId": application,
                "interviewStageId": stage["id"], "scheduledBy": {"email": TEXT},
                "createdAt": stamp(self.now), "updatedAt": stamp(self.now),
                "interviewEvents": [{
                    "id": event, "interviewId": interview, "interviewScheduleId": id_,
                    "startTime": stamp(self.now + dt.timedelta(days=1)),
                    "endTime": stamp(self.now + dt.timedelta(days=1, minutes=45)),
                    "createdAt": stamp(self.now), "updatedAt": stamp(self.now),
                    "interviewers": [
                        {"firstName": PERSON, "email": TEXT, **person}
                        for person in interviewers],
                    "feedbackLink": TEXT, "meetingLink": TEXT, "location": TEXT}],
            },
        )  # fmt: skip
        return event

    def card(
        self,
        application: str,
        user: str | None,
        values: dict[str, Any],
        *,
        event: str | None = None,
        is_submitted: bool = True,
    ) -> str:
        number = len(self.lists["applicationFeedback.list"]) + 1
        id_ = f"card-{number:03}"
        person = {"id": user, "firstName": PERSON, "lastName": "x", "email": TEXT}
        self.put(
            "applicationFeedback.list",
            {
                "id": id_, "applicationId": application,
                "applicationHistoryId": self.history[application][-1]["id"],
                "feedbackFormDefinitionId": "form-1", "interviewId": None,
                "interviewEventId": event,
                "submittedAt": stamp(self.now) if is_submitted else None,
                "submittedByUser": person if user else None,
                "formDefinition": FORM,
                "submittedValues": {
                    "notes": f"<p>{TEXT} {PERSON}</p>", "site": TEXT, **values},
            },
        )  # fmt: skip
        return id_

    def offer(self, application: str, acceptance: str, status: str) -> str:
        id_ = f"offer-{application}"
        is_decided = acceptance in ("Accepted", "Declined", "Cancelled")
        earlier = self.lists["offer.list"].get(id_)
        number = len(earlier["versions"]) + 1 if earlier else 1
        version = {
            "id": f"{id_}-v{number}", "startDate": "2026-12-01",
            "salary": {"currencyCode": "EUR", "value": 98_765_432},
            "createdAt": stamp(self.now), "openingId": None,
            "customFields": [{"value": TEXT}], "approvalStatus": "Approved",
        }  # fmt: skip
        versions = [*(earlier["versions"] if earlier else []), version]
        self.put(
            "offer.list",
            {
                "id": id_, "applicationId": application,
                "decidedAt": stamp(self.now) if is_decided else None,
                "acceptanceStatus": acceptance, "offerStatus": status,
                "latestVersion": version, "versions": versions,
            },
        )  # fmt: skip
        return id_

    def decide(self, application: str, acceptance: str, status: str) -> None:
        """The candidate's answer to the version that is there."""
        item = self.lists["offer.list"][f"offer-{application}"]
        item |= {"acceptanceStatus": acceptance, "offerStatus": status,
                 "decidedAt": stamp(self.now)}  # fmt: skip
        self.put("offer.list", item)

    def _company(self) -> None:
        self.now = dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC)
        for id_, name in (("dep-eng", "Engineering"), ("dep-sales", "Sales")):
            self.put("department.list", {"id": id_, "name": name, "isArchived": False})
        for number in range(1, 8):
            self.put(
                "user.list",
                {
                    "id": f"user-{number}", "firstName": PERSON,
                    "lastName": f"Interviewer {number}", "email": TEXT,
                    "globalRole": "Limited Access", "isEnabled": number != 7,
                    "updatedAt": stamp(self.now),
                },
            )  # fmt: skip
        for reason, (text, kind) in REASONS.items():
            item = {"id": reason, "text": text, "reasonType": kind, "isArchived": False}
            self.put("archiveReason.list", item)
        for number, kind in enumerate(("Lead", "PreInterviewScreen", "Active")):
            group = {"id": f"group-{kind}", "title": kind, "order": number}
            self.put("interviewStageGroup.list", {**group, "stageType": kind})
        for plan, stages in PLANS.items():
            item = {"id": plan, "title": plan, "isArchived": False}
            self.put("interviewPlan.list", {**item, "updatedAt": stamp(self.now)})
            for order, (title, kind) in enumerate(stages):
                self.put(
                    "interviewStage.list",
                    {
                        "id": f"{plan}-s{order}", "title": title, "type": kind,
                        "orderInInterviewPlan": order, "interviewPlanId": plan,
                        "interviewStageGroupId": f"group-{kind}",
                    },
                )  # fmt: skip
        self.put("interview.list", {"id": "int-design", "title": "System design"})
        for job, (title, department, plan) in JOBS.items():
            self.put(
                "job.list",
                {
                    "id": job, "title": title, "departmentId": department,
                    "openedAt": stamp(self.now), "closedAt": None, "status": "Open",
                    "updatedAt": stamp(self.now), "defaultInterviewPlanId": plan,
                    "interviewPlanIds": [plan], "customFields": [{"value": TEXT}],
                    "hiringTeam": [
                        {"userId": "user-1", "role": "Recruiter", "email": TEXT},
                        {"userId": "user-2", "role": "Hiring Manager"},
                        {"userId": "user-3", "role": "Executive Sponsor"}],
                },
            )  # fmt: skip
            self.put(
                "opening.list",
                {
                    "id": f"opening-{job}", "openedAt": stamp(self.now),
                    "closedAt": None, "isArchived": False, "openingState": "Open",
                    "latestVersion": {"jobIds": [job], "identifier": "1"},
                },
            )  # fmt: skip

    def _apply_by_script(self, number: int) -> None:
        """The n-th application; its number decides how far it gets."""
        self.pass_time(days=1)
        job = f"job-{1 + number % 3}"
        panel = "Sales Panel" if job == "job-3" else "Technical"
        application = self.apply(number, job, lead=number == 6)
        if number == 6:
            return
        self.pass_time(hours=5)
        self.move(application, "Recruiter Call")
        if number % 5 == 0:
            self.archive(application, "r-skills")
            return
        self.pass_time(hours=20)
        self.move(application, panel)
        event = self.interview(
            application,
            panel,
            [{"id": "user-4", "trainingRole": None},
             {"id": "user-5", "trainingRole": "Shadow"}],
            interview="int-design",
        )  # fmt: skip
        self.pass_time(days=1, hours=2)
        spelled = ("4", 4, {"score": 4})[number % 3]
        self.card(
            application,
            "user-4",
            {"overall_recommendation": "3", "rag_design": spelled, "depth": "1"},
            event=event,
        )
        self.card(application, "user-5", {"rag_design": 2}, event=event)
        if number % 4 == 0:
            self.archive(application, ("r-money", "r-closed")[number % 8 == 0])
        elif number % 7 == 0:
            self.move(application, "Offer")
            self.offer(application, "Pending", "WaitingOnCandidateResponse")
            self.pass_time(hours=30)
            self.decide(application, "Accepted", "CandidateAccepted")
            self.move(application, "Hired")

    # What the service answers.

    def expire(self) -> None:
        """All cursors and tokens that were given so far."""
        self._epoch += 1

    def handle(self, request: Request) -> Reply:
        if limited := self._limited():
            return limited
        expected = "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()
        if request.headers.get("Authorization") != expected:
            return Reply({"success": False, "errors": ["invalid_api_key"]}, 401)
        action = request.path.lstrip("/")
        if request.method != "POST" or action not in PERMISSIONS:
            return Reply({"success": False, "errors": ["not_found"]}, 404)
        if PERMISSIONS[action] not in self.permissions:
            refused = error("missing_endpoint_permission").content
            return Reply(refused, self.forbidden_status)
        body = request.json
        if not isinstance(body, dict):
            return error("invalid_input")
        if action == "application.listHistory":
            return self._history(body)
        return self._list(action, body)

    def _limited(self) -> Reply | None:
        if self.requests_per_window is None:
            return None
        start, n = self._window
        if self.now >= start + dt.timedelta(seconds=10):
            start, n = self.now, 0
        self._window = (start, n + 1)
        if n < self.requests_per_window:
            return None
        left = (start + dt.timedelta(seconds=10) - self.now).total_seconds()
        return Reply({"success": False}, 429, {"Retry-After": str(int(left))})

    def _history(self, body: dict[str, Any]) -> Reply:
        application = body.get("applicationId")
        if not application:
            return error("invalid_input")
        if application in self.deleted or application not in self.history:
            return error("application_not_found")
        visits = self.history[application]
        start = 0
        if "cursor" in body:
            known = self._known(body["cursor"], "next_cursor_expired")
            if isinstance(known, Reply):
                return known
            start = known["after"]
        page = visits[start : start + self.page_size]
        end = start + self.page_size
        return self._page(page, {"after": end} if end < len(visits) else None, None)

    def _list(self, action: str, body: dict[str, Any]) -> Reply:
        if action == "interviewStage.list" and not body.get("interviewPlanId"):
            return error("invalid_input")
        state = {"after": 0, "since": 0}
        if body.get("syncToken"):
            known = self._known(body["syncToken"], "sync_token_expired")
            if isinstance(known, Reply):
                return known
            state = {"after": known["until"], "since": known["until"]}
        if body.get("cursor"):
            known = self._known(body["cursor"], "next_cursor_expired")
            if isinstance(known, Reply):
                return known
            if self.is_too_large and known["since"]:
                return error("incremental_sync_too_large")
            state = known
        items = sorted(
            (self.changed[action, id_], item)
            for id_, item in self.lists[action].items()
            if self.changed[action, id_] > state["after"]
            and item.get("interviewPlanId") == body.get("interviewPlanId")
        )
        size = min(self.page_size, int(body.get("limit", 100)))
        page, rest = items[:size], items[size:]
        if self.has_empty_pages and not state.get("was_empty") and items:
            empty = {**state, "was_empty": True}
            return self._page([], empty, None)
        if rest:
            following = {"after": page[-1][0], "since": state["since"]}
            reply = self._page([item for _, item in page], following, None)
            if self.repeats_cursor and body.get("cursor"):
                reply.content["nextCursor"] = body["cursor"]
            return reply
        until = page[-1][0] if page else state["after"]
        has_token = action not in WITHOUT_TOKEN
        token = {"until": until} if has_token else None
        return self._page([item for _, item in page], None, token)

    def _page(
        self,
        results: list[dict[str, Any]],
        following: dict[str, Any] | None,
        token: dict[str, Any] | None,
    ) -> Reply:
        content: dict[str, Any] = {
            "success": True, "results": results, "moreDataAvailable": bool(following),
        }  # fmt: skip
        if following:
            content["nextCursor"] = self._opaque(following)
        elif token:
            content["syncToken"] = self._opaque(token)
        return Reply(content)

    def _opaque(self, state: dict[str, Any]) -> str:
        self._n_given += 1
        state = {**state, "epoch": self._epoch, "number": self._n_given}
        return base64.urlsafe_b64encode(json.dumps(state).encode()).decode()

    def _known(self, text: str, expired: str) -> dict[str, Any] | Reply:
        try:
            state: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text))
        except ValueError:
            spelled = {"next_cursor_expired": "invalid_next_cursor"}
            return error(spelled.get(expired, "sync_token_invalid"))
        return state if state["epoch"] == self._epoch else error(expired)


def error(code: str) -> Reply:
    """As Ashby tells an error: with HTTP 200."""
    about = {"code": code, "message": f"{TEXT} {code}", "requestId": "req-1"}
    return Reply({"success": False, "errors": [code], "errorInfo": about})
