"""A small invented company in Greenhouse, with the service's habits and its traps."""

import base64
import datetime as dt
import json
from typing import Any

from tests.fakes.service import FakeService, Reply, Request

CLIENT = "canary-client-31d7"
SECRET = "canary-secret-1e7e"  # noqa: S105
TOKEN = "canary-token-88b0"  # noqa: S105
ADMIN = "12"
NAME = "Canary-7f3a"
FREE_TEXT = "free-text-canary-91c2"
START = dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC)
# Job, position and name; the sales job has one stage less.
STAGES = {
    801: (301, 0, "Application Review"), 802: (301, 1, "Recruiter Screen"),
    803: (301, 2, "Hiring Manager Screen"), 804: (301, 3, "Onsite"),
    805: (301, 4, "Offer"),
    811: (302, 0, "Application Review"), 812: (302, 1, "Recruiter Screen"),
    814: (302, 2, "Onsite"), 815: (302, 3, "Offer"),
}  # fmt: skip
FORBIDDEN = Reply({"errors": ["Forbidden"]}, 403)
NOT_FOUND = Reply({"errors": ["Not found"]}, 404)
UNAUTHORIZED = Reply({"errors": ["Invalid token"]}, 401)
# Lists that take no filter.
UNFILTERED = ("demographic_questions", "demographic_answer_options")

Raw = dict[str, Any]


def invalid(message: str) -> Reply:
    return Reply({"errors": [message]}, 422)


def iso(at: dt.datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z") if at else None


def day(n: float) -> dt.datetime:
    return START + dt.timedelta(days=n)


class FakeGreenhouse(FakeService):
    """Answers as the vendor's documentation of Harvest v3 says.

    Lists come by id, descending; the next page is named in the Link header only, by a
    cursor that remembers the filter. Tests may set `most` (records per page, however
    many are asked for), `refused` (lists whose scope is missing), `is_admin`,
    `is_overlapping` (each page begins with the last record of the one before),
    `has_empty_page` (the first page is empty and has a next), `is_looping`, `elsewhere`
    (the next page is said to be on another server), `forgets_cursors`, `token_lives`
    (requests until a token expires) and `window` (requests left of 30 seconds).
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 7
        self.refused: set[str] = set()
        self.is_admin = True
        self.is_overlapping = self.has_empty_page = self.is_looping = False
        self.forgets_cursors = False
        self.elsewhere: str | None = None
        self.token_lives: int | None = None
        self.window: int | None = None
        self._left, self._resets_at = 0, self.now
        self._tokens = self._uses = 0
        self._subject: str | None = None
        self.lists: dict[str, dict[int, Raw]] = {
            name: {} for name in (
                "users", "departments", "offices", "sources", "rejection_reasons",
                "close_reasons", "interviewer_tags", "jobs", "job_hiring_managers",
                "job_owners", "openings", "job_interview_stages", "job_interviews",
                "interview_kits", "job_candidate_attributes",
                "focus_candidate_attributes", "rejection_details", "candidates",
                "applications", "application_stages", "interviews", "interviewers",
                "scorecards", "scorecard_candidate_attributes", "offers", "eeoc",
                "demographic_questions", "demographic_answer_options",
                "demographic_answers",
            )
        }  # fmt: skip
        self._plan()
        self._found()

    def add(self, stream: str, id_: int, at: dt.datetime = START, **about: Any) -> Raw:
        row = {"id": id_, "created_at": iso(at), "updated_at": iso(at), **about}
        self.lists[stream][id_] = row
        return row

    # -- the company --------------------------------------------------------------

    def _plan(self) -> None:
        """Jobs, stages, interviews and people."""
        self.add("departments", 651, name="Engineering")
        self.add("departments", 652, name="Sales")
        self.add("offices", 51, name="Berlin", location=FREE_TEXT)
        self.add("sources", 21, name="LinkedIn", type={"id": 1, "name": "Social"})
        self.add("interviewer_tags", 42, name="Bar-Raiser")
        self.add("interviewer_tags", 43, name="Technical")
        for n in range(11, 17):
            self.add(
                "users", n, name=f"{NAME} User {n}", first_name=NAME, last_name=str(n),
                primary_email=f"{NAME}-{n}@x.example", emails=[f"{NAME}-{n}@x.example"],
                employee_id=FREE_TEXT, job_title=FREE_TEXT, site_admin=n == 12,
                deactivated=n == 15, department_ids=[651 if n < 14 else 652],
                linked_candidate_ids=[5001] if n == 16 else [],
                # Listed as objects, as ids, and spelled by hand.
                interviewer_tags={13: [{"id": 42, "name": "Bar-Raiser"}], 14: [42],
                                  15: ["BAR raiser (EU)"], 11: [43]}.get(n, []),
                custom_fields={"t": FREE_TEXT},
            )  # fmt: skip
        # Hidden unless it is asked for.
        self.add("users", 19, name="Integration", is_service=True, deactivated=False)
        for id_, title, department in (
            (301, "ML engineer", 651),
            (302, "Account executive", 652),
            (303, "Draft", None),
            (399, "Template", 651),
        ):
            self.add(
                "jobs", id_, name=title, department_id=department, office_ids=[51],
                status="draft" if id_ == 303 else "open", is_template=id_ == 399,
                opened_at=iso(day(-30)), closed_at=None, notes=FREE_TEXT,
                confidential=False, custom_fields={"salary": 123456},
            )  # fmt: skip
        self.add("job_hiring_managers", 1, job_id=301, user_id=13)
        for n, kind in enumerate(("recruiter", "coordinator", "sourcer", "agent")):
            self.add("job_owners", n, job_id=301, user_id=11, type=kind,
                     responsible=True)  # fmt: skip
        for id_, (job, order, name) in STAGES.items():
            self.add("job_interview_stages", id_, job_id=job, name=name,
                     sort_order=order, active=True)  # fmt: skip
        self.add("job_interview_stages", 806, job_id=301, name="Old task",
                 sort_order=9, active=False)  # fmt: skip
        attributes = {701: "RAG design", 702: "Evaluation literacy", 703: "Teamwork",
                      704: "Retrieval design"}  # fmt: skip
        for id_, name in attributes.items():
            self.add("job_candidate_attributes", id_, job_id=301, name=name,
                     candidate_attribute_type_id=700, active=True)  # fmt: skip
        for id_, stage, name in (
            (901, 804, "AI architecture"),
            (902, 804, "Coding"),
            (903, 802, "Recruiter call"),
            (911, 814, "Pitch"),
        ):
            self.add("job_interviews", id_, job_id=STAGES[stage][0],
                     job_interview_stage_id=stage, name=name, duration=60,
                     instructions=FREE_TEXT, summary=FREE_TEXT)  # fmt: skip
            self.add("interview_kits", id_ + 50, job_id=STAGES[stage][0],
                     job_interview_id=id_, exercises=FREE_TEXT)  # fmt: skip
        for n, (kit, attribute) in enumerate(((951, 701), (951, 702), (952, 703))):
            self.add("focus_candidate_attributes", n, interview_kit_id=kit,
                     job_candidate_attribute_id=attribute)  # fmt: skip
        for id_, name, key in (
            (1, "Lacking skills", "WE_REJECTED_THEM"),
            (2, "Took another offer", "THEY_REJECTED_US"),
            (3, "Position closed", "NONE_SPECIFIED"),
            (4, "Parked", "HIBERNATED"),
        ):
            self.add("rejection_reasons", id_, name=name,
                     type={"id": id_, "key": key, "name": FREE_TEXT})  # fmt: skip
        self.add("close_reasons", 1, name="Hire - New Headcount")
        self.add("close_reasons", 2, name="On Hold")
        self.add("openings", 501, job_id=301, opening_id=FREE_TEXT, open=False,
                 opened_at=iso(day(-30)), closed_at=iso(day(13)), application_id=9001,
                 close_reason_id=1)  # fmt: skip
        self.add("openings", 502, job_id=301, opening_id="1-2", open=False,
                 opened_at=iso(day(-30)), closed_at=iso(day(20)), application_id=None,
                 close_reason_id=2)  # fmt: skip
        self.add("openings", 503, job_id=302, opening_id="2-1", open=True,
                 opened_at=iso(day(-20)), closed_at=None, application_id=None,
                 close_reason_id=None)  # fmt: skip
        self._survey()

    def _survey(self) -> None:
        for id_, name in (
            (61, "How do you describe your gender identity?"),
            (62, "What is your race or ethnicity?"),
            (63, "Are you a veteran?"),
            (64, "What is your sexual orientation?"),
        ):
            self.add("demographic_questions", id_, name=name, active=True,
                     demographic_question_set_id=60,
                     answer_type="multi_value_multi_select")  # fmt: skip
        for id_, question, name, declines in (
            (71, 61, "Woman", False),
            (72, 61, "I decline", True),
            (73, 62, "White", False),
            (74, 62, "Asian", False),
            (75, 64, FREE_TEXT, False),
        ):
            self.add("demographic_answer_options", id_, name=name,
                     demographic_question_id=question, decline_to_answer=declines,
                     free_form=False, active=True)  # fmt: skip

    def _found(self) -> None:
        """Hire some, reject some, and let everything happen that does happen."""
        hired = self.apply(9001, at=1)
        for days, stage in enumerate((802, 803, 804, 805)):
            self.move(9001, stage, at=day(2 + days))
        self.interview(6601, 9001, 901, at=day(5), card=4401)
        self.card(4401, 9001, at=day(5.2), ratings={701: "strong_yes", 702: "mixed",
                                                    703: "no_decision"})  # fmt: skip
        self.offer(201, 9001, "Deprecated", version=1, sent=day(8))
        self.offer(202, 9001, "Accepted", version=2, sent=day(9), resolved=day(12))
        hired["status"] = "hired"
        self.touch("applications", 9001, day(12.1))
        self.apply(9002, at=2)
        self.reject(9002, 1, at=day(6))
        self.apply(9003, at=3)
        self.move(9003, 805, at=day(7))
        self.offer(203, 9003, "Rejected", sent=day(8), resolved=day(10))
        self.reject(9003, 2, at=day(10))
        # Forwards, back, and forwards again; then rejected as the job went away.
        self.apply(9004, at=4)
        for days, stage in enumerate((802, 804, 802, 804)):
            self.move(9004, stage, at=day(6 + days))
        self.reject(9004, 3, at=day(20))
        # Rows that were filled in: one made when the stay began, one made long after.
        self.apply(9005, at=5)
        self.move(9005, 802, at=day(6))
        self.move(9005, 804, at=day(8))
        first, second, last = self.stays(9005)
        first |= {"entered_at": None}
        second |= {"entered_at": None, "created_at": iso(day(90)),
                   "updated_at": iso(day(90))}  # fmt: skip
        last |= {"entered_at": None, "created_at": None}
        self.apply(9006, at=6, prospect=True, job_id=None, status="in_process")
        self.apply(9007, at=6, prospect=True, job_id=None, status="converted")
        # One person, two applications; the other candidate was merged into this one.
        self.apply(9008, at=7, candidate=5002)
        del self.lists["candidates"][5008]
        # A job that cannot be seen.
        self.apply(9009, at=8, job_id=310)
        self.apply(9010, at=9, job_id=302)
        self.move(9010, 812, at=day(10))
        self.interview(6610, 9010, 911, at=day(12), card=4410, user=15)
        self.card(4410, 9010, at=day(12.5), user=15, kit=961, overall="strong_no",
                  ratings={})  # fmt: skip
        for n in range(9020, 9045):
            self.apply(n, at=n - 9000, job_id=301 if n % 3 else 302)
            if n % 2:
                self.move(n, 802 if n % 3 else 812, at=day(n - 8998))
        self._odd_interviews()
        self._odd_answers()

    def _odd_interviews(self) -> None:
        self.apply(9011, at=-90)
        self.move(9011, 804, at=day(-89))
        # Half an hour before clocks go forward in Los Angeles, and after that.
        gap = dt.datetime(2026, 3, 8, 9, 30, tzinfo=dt.UTC)
        self.interview(6611, 9011, 901, at=gap)
        self.interview(6612, 9011, 902, at=gap + dt.timedelta(hours=1))
        all_day = self.interview(6613, 9011, 901, at=gap)
        all_day |= {"starts_at": None, "ends_at": None,
                    "all_day_start_on": "2026-03-29",
                    "all_day_end_on": "2026-03-30"}  # fmt: skip
        pending = self.interview(6614, 9011, 901, at=gap)
        pending |= {"starts_at": None, "ends_at": None, "status": "to_be_scheduled"}
        guests = self.interview(6615, 9011, 901, at=day(-80))
        guests["status"] = "skipped"
        for row in self.lists["interviewers"].values():
            if row["interview_id"] == 6615:
                row["user_id"] = None
        self.interview(6616, 9011, 901, at=day(-80), response="declined")
        self.card(4411, 9011, at=day(-80), kit=None, ratings={701: "yes"})
        self.card(4412, 9011, at=None, status="draft", ratings={701: "no"})
        self.card(4413, 9011, at=day(-79), user=None, ratings={})
        self.card(4414, 9011, at=day(-79), user=14, overall="no_decision",
                  ratings={701: "yes", 704: "no", 702: None})  # fmt: skip
        self.card(4415, 9011, at=day(-78), user=88, ratings={})
        # A placeholder for who has not written anything yet.
        self.interview(6617, 9011, 901, at=day(-70), card=4416)
        self.card(4416, 9011, at=None, status="draft", overall=None, ratings={})

    def _odd_answers(self) -> None:
        answers = (
            (
                "Female",
                "Asian",
                "I am not a protected veteran",
                "I don't wish to answer",
            ),
            ("Decline To Self Identify", None, None, None),
        )
        for n, application in enumerate((9001, 9002)):
            gender, race, veteran, disability = (
                {"id": 1, "description": text} if text else None for text in answers[n]
            )
            if veteran:
                veteran["message"] = veteran.pop("description")
            self.add("eeoc", n + 1, application_id=application, candidate_id=5001,
                     submitted_at=iso(day(2)), gender=gender, race=race,
                     veteran_status=veteran, disability_status=disability)  # fmt: skip
        # Declined before, and told in the survey.
        for n, (application, question, option) in enumerate(
            ((9002, 61, 71), (9003, 61, 72), (9003, 62, 73), (9003, 62, 74),
             (9003, 64, 75), (9004, 63, None), (9006, 61, 71))
        ):  # fmt: skip
            self.add("demographic_answers", n + 1, application_id=application,
                     demographic_question_id=question, free_form_text=FREE_TEXT,
                     demographic_answer_option_id=option)  # fmt: skip

    def apply(
        self,
        id_: int,
        *,
        at: float,
        job_id: int | None = 301,
        candidate: int | None = None,
        **about: Any,
    ) -> Raw:
        candidate_id = candidate or id_ - 4000
        if id_ - 4000 not in self.lists["candidates"]:
            self.add(
                "candidates", id_ - 4000, day(at), first_name=NAME, last_name=f"{id_}",
                email_addresses=[{"value": f"{NAME}-{id_}@x.example".lower()}],
                phone_numbers=[{"value": FREE_TEXT}], company=FREE_TEXT, tags=["x"],
                website_addresses=[{"value": FREE_TEXT}], custom_fields={"a": 123456},
            )  # fmt: skip
        row = self.add(
            "applications", id_, day(at),
            **{
                "candidate_id": candidate_id, "job_id": job_id, "prospect": False,
                "status": "in_process", "stage_id": None, "stage_name": None,
                "recruiter_id": 11, "coordinator_id": 12, "source_id": 21,
                "rejected_at": None, "location_address": FREE_TEXT,
                "answers": [{"question": FREE_TEXT, "answer": f"<p>{FREE_TEXT}</p>"}],
                "custom_fields": {"salary": 123456}, **about,
            },
        )  # fmt: skip
        if not row["prospect"] and job_id in (301, 302):
            self.move(id_, 801 if job_id == 301 else 811, at=day(at))
        return row

    # -- what happens between two syncs ---------------------------------------------

    def pass_time(self, **about: float) -> None:
        self.now += dt.timedelta(**about)

    def touch(self, stream: str, id_: int, at: dt.datetime | None = None) -> Raw:
        row = self.lists[stream][id_]
        row["updated_at"] = iso(at or self.now)
        return row

    def stays(self, application: int) -> list[Raw]:
        rows = self.lists["application_stages"].values()
        return [row for row in rows if row["application_id"] == application]

    def move(self, id_: int, stage: int, at: dt.datetime | None = None) -> None:
        at = at or self.now
        for stay in self.stays(id_):
            if stay["current"]:
                stay |= {"current": False, "exited_at": iso(at), "updated_at": iso(at)}
        number = 70_000 + len(self.lists["application_stages"])
        self.add("application_stages", number, at, application_id=id_,
                 job_interview_stage_id=stage, entered_at=iso(at), exited_at=None,
                 days_in_stage=None, current=True)  # fmt: skip
        row = self.touch("applications", id_, at)
        row |= {"stage_id": number, "stage_name": STAGES[stage][2]}

    def reject(self, id_: int, reason: int, at: dt.datetime | None = None) -> None:
        at = at or self.now
        row = self.touch("applications", id_, at)
        row |= {"status": "rejected", "rejected_at": iso(at)}
        self.add("rejection_details", id_, at, application_id=id_, rejected_by_id=11,
                 rejection_reason_id=reason, rejected_at=iso(at),
                 question_custom_fields={"note": FREE_TEXT})  # fmt: skip

    def reopen(self, id_: int) -> None:
        """Un-reject, or un-hire."""
        row = self.touch("applications", id_)
        row |= {"status": "in_process", "rejected_at": None}
        self.lists["rejection_details"].pop(id_, None)

    def hire(self, id_: int) -> None:
        self.touch("applications", id_)["status"] = "hired"

    def interview(
        self,
        id_: int,
        application: int,
        step: int,
        *,
        at: dt.datetime,
        card: int | None = None,
        user: int = 13,
        response: str = "accepted",
    ) -> Raw:
        self.add("interviewers", id_ + 100_000, interview_id=id_, user_id=user,
                 email=f"{NAME}-{user}@x.example", response_status=response,
                 scorecard_id=card)  # fmt: skip
        # A guest from outside: an address and no user.
        self.add("interviewers", id_ + 200_000, interview_id=id_, user_id=None,
                 email=f"{NAME}-guest@y.example", response_status="accepted",
                 scorecard_id=None)  # fmt: skip
        return self.add(
            "interviews", id_, job_id=301, application_id=application,
            job_interview_id=step, status="complete", starts_at=iso(at),
            ends_at=iso(at + dt.timedelta(minutes=45)), all_day_start_on=None,
            all_day_end_on=None, scheduled_at=iso(START), location=FREE_TEXT,
            video_conferencing_url=FREE_TEXT, external_event_id=FREE_TEXT,
        )  # fmt: skip

    def card(
        self,
        id_: int,
        application: int,
        *,
        at: dt.datetime | None,
        ratings: dict[int, str | None],
        user: int | None = 13,
        kit: int | None = 951,
        status: str = "complete",
        overall: str | None = "yes",
    ) -> Raw:
        for n, (attribute, rating) in enumerate(ratings.items()):
            self.add("scorecard_candidate_attributes", id_ * 10 + n, at or self.now,
                     scorecard_id=id_, job_candidate_attribute_id=attribute,
                     candidate_attribute_rating=rating,
                     note=FREE_TEXT if n == 0 else "")  # fmt: skip
        return self.add(
            "scorecards", id_, at or START, application_id=application,
            interview_kit_id=kit, interviewer_id=user, submitter_id=12, status=status,
            candidate_rating=overall, interviewed_at=None, submitted_at=iso(at),
            notes=FREE_TEXT, private_notes=FREE_TEXT, public_notes=FREE_TEXT,
        )  # fmt: skip

    def offer(
        self,
        id_: int,
        application: int,
        status: str,
        *,
        version: int = 1,
        sent: dt.datetime | None = None,
        resolved: dt.datetime | None = None,
    ) -> Raw:
        return self.add(
            "offers", id_, resolved or sent or START, application_id=application,
            job_id=301, candidate_id=5001, opening_id=501, version=version,
            status=status, sent_on=iso(sent)[:10] if sent else None,
            starts_on="2026-08-03", resolved_at=iso(resolved),
            custom_fields={"salary": 123456},
        )  # fmt: skip

    def delete(self, id_: int) -> None:
        """Delete an application with what hangs on it; no list tells of it."""
        for rows in self.lists.values():
            for key in [
                k for k, row in rows.items() if row.get("application_id") == id_
            ]:
                del rows[key]
        del self.lists["applications"][id_]

    def anonymise(self, id_: int) -> None:
        """Anonymise the candidate of an application, its cards and stages as well."""
        candidate = self.lists["applications"][id_]["candidate_id"]
        row = self.touch("candidates", candidate)
        row |= {"first_name": "Anonymized", "last_name": str(candidate),
                "email_addresses": []}  # fmt: skip
        for stream in ("scorecards", "interviews", "application_stages"):
            rows = self.lists[stream]
            for key in [k for k, row in rows.items() if row["application_id"] == id_]:
                del rows[key]

    # -- the service ----------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        if request.path == "/token":
            return self._token(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}-{self._tokens}":
            return UNAUTHORIZED
        self._uses += 1
        if self.token_lives is not None and self._uses > self.token_lives:
            return UNAUTHORIZED
        headers = self._limits()
        if headers.get("Retry-After"):
            return Reply({"message": "Rate limit exceeded"}, 429, headers)
        stream = request.path.removeprefix("/v3/")
        if stream not in self.lists:
            return NOT_FOUND
        if stream in self.refused:
            return FORBIDDEN
        reply = self._page(stream, request.query)
        return Reply(reply.content, reply.status, {**headers, **reply.headers})

    def _token(self, request: Request) -> Reply:
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        form = dict(part.split("=") for part in request.body.decode().split("&"))
        if request.headers.get("Authorization") != f"Basic {basic}":
            return Reply({"error": "invalid_client", "message": SECRET}, 401)
        if form.get("grant_type") != "client_credentials":
            return Reply({"error": "unsupported_grant_type"}, 400)
        # Without a subject it is the integration's own user, who is no Site Admin.
        self._subject = form.get("sub")
        self._tokens, self._uses = self._tokens + 1, 0
        token = f"{TOKEN}-{self._tokens}"
        return Reply(
            {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        )

    def _limits(self) -> dict[str, str]:
        if self.window is None:
            return {}
        if self.now >= self._resets_at:
            self._resets_at = self.now + dt.timedelta(seconds=30)
            self._left = self.window
        reset = str(int(self._resets_at.timestamp()))
        if not self._left:
            wait = int((self._resets_at - self.now).total_seconds()) + 1
            return {"Retry-After": str(wait), "X-RateLimit-Reset": reset}
        self._left -= 1
        return {"X-RateLimit-Limit": str(self.window), "X-RateLimit-Reset": reset,
                "X-RateLimit-Remaining": str(self._left)}  # fmt: skip

    def _page(self, stream: str, query: dict[str, str]) -> Reply:
        asked, after = dict(query), None
        if "cursor" in query:
            if len(query) > 1:
                return invalid(
                    "When passing a cursor, do not include other query params."
                )
            try:
                kept = json.loads(base64.urlsafe_b64decode(query["cursor"]))
            except ValueError:
                kept = None
            if kept is None or self.forgets_cursors or kept["stream"] != stream:
                return invalid("Invalid cursor.")
            asked, after = kept["query"], kept["after"]
        if "updated_at" in asked and (stream in UNFILTERED or "created_at" in asked):
            return invalid("updated_at is not allowed here.")
        size = int(asked.get("per_page", 100))
        if not 1 <= size <= 500:
            return invalid("per_page must be from 1 to 500.")
        rows = self._rows(stream, asked)
        if not self.is_admin or self._subject != ADMIN:
            return Reply([])
        if self.has_empty_page and after is None and size > 1:
            return self._linked([], stream, asked, 1 << 60)
        if after is not None:
            rows = [
                row
                for row in rows
                if row["id"] < after + (1 if self.is_overlapping else 0)
            ]
        page = rows[: min(size, self.most)]
        if len(page) == len(rows):
            return Reply(page)
        last = (1 << 50) if self.is_looping else page[-1]["id"]
        return self._linked(page, stream, asked, last)

    def _rows(self, stream: str, asked: dict[str, str]) -> list[Raw]:
        rows = sorted(self.lists[stream].values(), key=lambda row: -row["id"])
        if stream == "users" and asked.get("show_service_accounts") != "true":
            rows = [row for row in rows if not row.get("is_service")]
        words = asked.get("updated_at", "").split("|")
        for operator, bound in zip(words[::2], words[1::2], strict=False):
            until = dt.datetime.fromisoformat(bound)
            rows = [
                row for row in rows
                if (dt.datetime.fromisoformat(row["updated_at"]) < until)
                is (operator == "lt")
            ]  # fmt: skip
        return rows

    def _linked(
        self, page: list[Raw], stream: str, asked: dict[str, str], after: int
    ) -> Reply:
        token = json.dumps({"stream": stream, "query": asked, "after": after})
        cursor = base64.urlsafe_b64encode(token.encode()).decode()
        url = f"{self.elsewhere or self.url}/v3/{stream}?cursor={cursor}"
        return Reply(page, 200, {"Link": f'<{url}>; rel="next"'})
