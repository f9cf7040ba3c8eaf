"""Ashby: every call a POST, a cursor per page, and a token for what changed since.

Ashby answers many errors with HTTP 200, so an answer counts only where it says so
itself. Its sync tokens come with the last page of a pass and are kept when that page
is; what a token no longer serves is read in full again.
"""

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import duckdb

from orchestration.sources import SourceError
from orchestration.sources.connector import SQL, Access, Connector, Stream
from orchestration.sources.http import Client, KeyAuth, RefusedError, secret
from orchestration.sources.mirror import Mirror, Record

__all__ = ["Ashby"]

BASE_URL = "https://api.ashbyhq.com"
PAGE = 100
# A pass that has to begin anew more often than this does not end.
FRESH_STARTS = 3

APPLICATIONS = "application.list"
HISTORY = "application.listHistory"
FEEDBACK = "applicationFeedback.list"
SCHEDULES = "interviewSchedule.list"
OFFERS = "offer.list"
PLANS = "interviewPlan.list"
STAGES = "interviewStage.list"

_IDS: tuple[str, ...] = ()
_VERSION = {"id": None, "createdAt": None, "startDate": None, "openingId": None,
            "approvalStatus": None}  # fmt: skip
# All that is kept of each record: None is a plain value, `_IDS` a list of them. What is
# not named here (notes, answers, links, salaries, phone numbers) never gets in.
_SHAPES: dict[str, dict[str, Any]] = {
    "department.list": {"id": None, "name": None, "updatedAt": None},
    "user.list": {"id": None, "firstName": None, "lastName": None, "isEnabled": None,
                  "updatedAt": None},
    "job.list": {"id": None, "title": None, "departmentId": None, "openedAt": None,
                 "closedAt": None, "updatedAt": None, "defaultInterviewPlanId": None,
                 "interviewPlanIds": _IDS,
                 "hiringTeam": {"userId": None, "role": None}},
    "opening.list": {"id": None, "openedAt": None, "closedAt": None,
                     "openingState": None, "latestVersion": {"jobIds": _IDS}},
    "archiveReason.list": {"id": None, "text": None, "reasonType": None},
    "interviewStageGroup.list": {"id": None, "order": None, "stageType": None},
    PLANS: {"id": None, "updatedAt": None},
    STAGES: {"id": None, "title": None, "type": None, "orderInInterviewPlan": None,
             "interviewStageGroupId": None},
    "interview.list": {"id": None, "title": None},
    APPLICATIONS: {
        "id": None, "createdAt": None, "updatedAt": None, "status": None,
        "archivedAt": None,
        "candidate": {"id": None, "name": None, "primaryEmailAddress": {"value": None}},
        "currentInterviewStage": {"id": None, "title": None, "type": None,
                                  "orderInInterviewPlan": None},
        "source": {"title": None},
        "archiveReason": {"id": None, "text": None, "reasonType": None},
        "job": {"id": None, "title": None, "departmentId": None},
        "hiringTeam": {"userId": None, "role": None},
    },
    HISTORY: {"id": None, "stageId": None, "title": None, "enteredStageAt": None,
              "leftStageAt": None, "stageNumber": None},
    FEEDBACK: {"id": None, "applicationId": None, "applicationHistoryId": None,
               "feedbackFormDefinitionId": None, "interviewId": None,
               "interviewEventId": None, "submittedAt": None,
               "submittedByUser": {"id": None}},
    SCHEDULES: {
        "id": None, "status": None, "applicationId": None, "interviewStageId": None,
        "createdAt": None, "updatedAt": None,
        "interviewEvents": {
            "id": None, "interviewId": None, "startTime": None, "endTime": None,
            "updatedAt": None, "interviewerUserIds": _IDS,
            "interviewers": {"id": None, "trainingRole": None},
        },
    },
    OFFERS: {"id": None, "applicationId": None, "decidedAt": None,
             "acceptanceStatus": None, "offerStatus": None, "latestVersion": _VERSION,
             "versions": _VERSION},
}  # fmt: skip
# Made of a card's form and answers at reading; the answers themselves are not kept.
_OF_CARDS = ("overall", "formVersion", "ratings{}")
# Each list of its own, before and after the applications it says something about.
_COMPANY = ("department.list", "user.list", "job.list", "opening.list",
            "archiveReason.list", "interview.list", "interviewStageGroup.list",
            PLANS)  # fmt: skip
_OF_APPLICATIONS = (FEEDBACK, SCHEDULES, OFFERS)
# What was retired is still what past applications went through.
_BODIES: dict[str, dict[str, Any]] = {
    "department.list": {"includeArchived": True},
    "user.list": {"includeDeactivated": True},
    "archiveReason.list": {"includeArchived": True},
    "interview.list": {"includeArchived": True},
    PLANS: {"includeArchived": True},
}
_PERMISSIONS = {
    "department.list": "organizationRead",
    "user.list": "organizationRead",
    "job.list": "jobsRead",
    "opening.list": "jobsRead",
    "archiveReason.list": "hiringProcessMetadataRead",
    "interview.list": "interviewsRead",
    "interviewStageGroup.list": "interviewsRead",
    PLANS: "interviewsRead",
    STAGES: "interviewsRead",
    APPLICATIONS: "candidatesRead",
    HISTORY: "candidatesRead",
    FEEDBACK: "candidatesRead",
    SCHEDULES: "interviewsRead",
    OFFERS: "offersRead",
}
_OVERALL = "overall_recommendation"


class Ashby(Connector):
    """What reads Ashby with an API key."""

    streams = tuple(
        Stream(
            action,
            tuple(
                name if inner is None else f"{name}{{}}"
                for name, inner in shape.items()
            )
            + (_OF_CARDS if action == FEEDBACK else ()),
            version="updatedAt",
        )
        for action, shape in _SHAPES.items()
    )
    translation = "ashby.sql"

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Bring the mirror up to date.

        Raises
        ------
        SourceError
            If Ashby cannot be read, or the key may not read applications.
        """
        self._odd: Counter[str] = Counter()
        self._gone = 0
        with self._client() as client:
            try:
                self._read(client, mirror, full=full)
            finally:
                self.report.n_requests = client.n_requests
                self.report.n_repeated = client.n_repeated
        if self._gone:
            self.report.notes.append(
                f"{self._gone:,} applications were deleted at Ashby; they and all"
                " under them were dropped"
            )
        self.report.notes += [
            f"{what}: left out {n:,} times" for what, n in sorted(self._odd.items())
        ]

    def _client(self) -> Client:
        where = f"{self.name}: credentials.api_key"
        reference = self.config.credentials.get("api_key")
        if reference is None:
            raise SourceError(f"{where}: sources.yaml names none; write `env:NAME`")
        return Client(
            self.name,
            self.config.base_url or BASE_URL,
            KeyAuth(secret(reference, where=where)),
            sleep=self.sleep,
        )

    def _read(self, client: Client, mirror: Mirror, *, full: bool) -> None:
        """Everything, in an order in which children come after their parents."""
        # The server's clock, and whether the key may read what nothing goes without.
        _, served_at = self._call(client, APPLICATIONS, {"limit": 1})
        for action in _COMPANY:
            self._unless_refused(
                action,
                partial(
                    self._read_list,
                    client,
                    mirror,
                    action,
                    full=full,
                    served_at=served_at,
                ),
            )
        # Plans are few, and whether a changed stage moves its plan is not said.
        mirror.queue((STAGES,), _ids(mirror, PLANS))
        self._unless_refused(STAGES, partial(self._read_stages, client, mirror))
        self.report.is_full = False
        self._read_list(client, mirror, APPLICATIONS, full=full, served_at=served_at)
        is_full = self.report.is_full
        for action in _OF_APPLICATIONS:
            self._unless_refused(
                action,
                partial(
                    self._read_list,
                    client,
                    mirror,
                    action,
                    full=full,
                    served_at=served_at,
                ),
            )
        if full:
            # A visit may be dated back without a trace on its application.
            mirror.queue((HISTORY,), _ids(mirror, APPLICATIONS))
        mirror.remove_orphans(HISTORY, APPLICATIONS)
        self._read_history(client, mirror)
        # Lists without a token are read in full each time; that makes no full sync.
        self.report.is_full = is_full

    def _unless_refused(self, action: str, read: Callable[[], None]) -> None:
        """Read what a sync can do without; say so where the key may not."""
        try:
            read()
        except RefusedError as error:
            if not _is_forbidden(error):
                raise
            self.report.notes.append(
                f"{action} was not read: the key lacks {_PERMISSIONS[action]}; what"
                " depends on it is missing or as old as the last sync that read it"
            )

    def _read_list(
        self,
        client: Client,
        mirror: Mirror,
        action: str,
        *,
        full: bool,
        served_at: dt.datetime,
    ) -> None:
        """A list, from its beginning where Ashby no longer knows the way on."""
        for start in range(FRESH_STARTS + 1):
            try:
                self._read_pass(
                    client, mirror, action, full=full or start > 0, served_at=served_at
                )
                return
            except RefusedError as error:
                if not _is_lost(error.code) or start == FRESH_STARTS:
                    raise
                self._forget_place(mirror, action)
                self.report.notes.append(
                    f"{action} is read in full again: {error.code}"
                    f" ({start + 1} of at most {FRESH_STARTS} times)"
                )

    def _forget_place(self, mirror: Mirror, action: str) -> None:
        place = mirror.place(action)
        running = place.pop("running", None)
        place.pop("sync_token", None)
        if running:
            place["number"] = running["number"]
        mirror.finish(action, place=place)

    def _read_pass(
        self,
        client: Client,
        mirror: Mirror,
        action: str,
        *,
        full: bool,
        served_at: dt.datetime,
    ) -> None:
        """One pass over a list, from where it was left."""
        has_token = "sync_token" in mirror.place(action)
        place = self.open_pass(
            mirror, action, full=full or not has_token, served_at=served_at
        )
        running = place["running"]
        seen = {running["cursor"]}
        while True:
            body = {"limit": PAGE, **_BODIES.get(action, {})}
            if not running["is_full"]:
                body["syncToken"] = place["sync_token"]
            if running["cursor"]:
                body["cursor"] = running["cursor"]
            page, _ = self._call(client, action, body)
            cursor = self._next(action, page, seen)
            if cursor:
                running = {**running, "cursor": cursor}
            self._put(mirror, action, page["results"], {**place, "running": running})
            if not cursor:
                break
        # Not before its page is in: a token that is kept too early loses the page.
        token = page.get("syncToken") or place.get("sync_token")
        place = {**place, "running": running}
        self.close_pass(
            mirror, action, {**place, "sync_token": token} if token else place
        )

    def _next(
        self, action: str, page: Mapping[str, Any], seen: set[str | None]
    ) -> str | None:
        """The cursor of the next page; None on the last one."""
        if not page.get("moreDataAvailable"):
            return None
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            raise SourceError(
                f"{self.name}: {action} says that there is more, but not where; what"
                " was read so far is kept; run the sync again"
            )
        if cursor in seen:
            raise SourceError(
                f"{self.name}: {action} leads in a loop: a cursor came twice; what was"
                " read so far is kept; run the sync again, or tell Ashby's support"
            )
        seen.add(cursor)
        return cursor

    def _put(
        self,
        mirror: Mirror,
        action: str,
        results: Iterable[Mapping[str, Any]],
        place: Mapping[str, Any],
    ) -> None:
        """Keep one page of a list."""
        children: tuple[str, ...] = ()
        if action == APPLICATIONS:
            children = (HISTORY,)
            # A lead has not applied, and one that is made a lead again no longer has.
            leads = [str(item.get("id")) for item in results if _is_lead(item)]
            mirror.remove(APPLICATIONS, leads)
            results = [item for item in results if not _is_lead(item)]
        records = [self._record(action, item) for item in results]
        number = place["running"]["number"]
        mirror.put(action, records, place=place, seen=number, children=children)

    def _record(self, action: str, item: Mapping[str, Any], parent: str = "") -> Record:
        """What is kept of one item."""
        if not item.get("id"):
            raise SourceError(f"{self.name}: {action} has an item without an id")
        body: dict[str, Any] = _kept(item, _SHAPES[action])
        if action == FEEDBACK:
            body |= self._rated(item)
        return Record(str(item["id"]), body, str(item.get("updatedAt") or ""), parent)

    def _rated(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The ratings of a card, as spelled; free text and other answers stay out."""
        answers = item.get("submittedValues")
        answers = answers if isinstance(answers, dict) else {}
        overall, ratings, form = None, [], []
        for field in _fields_of(item.get("formDefinition")):
            path, kind = str(field.get("path")), field.get("type")
            form.append([path, kind])
            options = _options(field)
            if path == _OVERALL:
                overall = self._spelled(path, answers.get(path), options)
            elif kind == "Score" or (kind == "ValueSelect" and self._is_scale(options)):
                title = field.get("title")
                value = self._spelled("Score", answers.get(path), options)
                ratings.append({"path": path, "title": title, "value": value})
        version = hashlib.sha256(json.dumps(form).encode()).hexdigest()[:12]
        return {"overall": overall, "ratings": ratings, "formVersion": version}

    def _is_scale(self, options: list[str]) -> bool:
        """Whether all choices of a field are ratings of this source's scale."""
        known = {*self.source.scale, *self.source.missing}
        return len(options) > 1 and all(
            option.strip().lower() in known for option in options
        )

    def _spelled(self, what: str, value: Any, options: list[str]) -> str | None:
        """A rating as it is spelled; None where there is none, or it is no rating."""
        if isinstance(value, dict):
            value = value.get("score", value.get("value"))
        if value is None or value == "":
            return None
        word = str(value) if isinstance(value, str | int | float) else ""
        if word.endswith(".0"):
            word = word.removesuffix(".0")
        # A word of the form's own, else a number or a slug: never a sentence.
        is_word = word in options or (
            not options and len(word) <= 40 and word.replace("_", "").isalnum()
        )
        if not is_word or isinstance(value, bool):
            self._odd[f"unmapped: an answer to {what} that is no rating"] += 1
            return None
        return word

    def _read_stages(self, client: Client, mirror: Mirror) -> None:
        """The stages of every interview plan."""
        while plans := mirror.waiting(STAGES):
            for plan in plans:
                stages = self._children(client, STAGES, {"interviewPlanId": plan})
                mirror.replace_children(
                    STAGES,
                    plan,
                    [self._record(STAGES, stage, plan) for stage in stages],
                    seen=0,
                )

    def _read_history(self, client: Client, mirror: Mirror) -> None:
        """The visits of every application that changed, replaced as a whole."""
        while applications := mirror.waiting(HISTORY):
            for application in applications:
                try:
                    visits = self._children(
                        client, HISTORY, {"applicationId": application}
                    )
                except RefusedError as error:
                    if error.code != "application_not_found":
                        raise
                    self._bury(mirror, application)
                    continue
                mirror.replace_children(
                    HISTORY,
                    application,
                    [self._record(HISTORY, visit, application) for visit in visits],
                    seen=0,
                )

    def _bury(self, mirror: Mirror, application: str) -> None:
        """Drop an application that was deleted at Ashby, and all under it."""
        for stream in _OF_APPLICATIONS:
            mirror.remove_where(stream, "applicationId", [application])
        mirror.remove(APPLICATIONS, [application])
        mirror.replace_children(HISTORY, application, [], seen=0)
        self._gone += 1

    def _children(
        self, client: Client, action: str, body: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        """All pages of what belongs to one parent."""
        for start in range(FRESH_STARTS + 1):
            found: list[Mapping[str, Any]] = []
            seen: set[str | None] = {None}
            asked = {**body, "limit": PAGE}
            try:
                while True:
                    page, _ = self._call(client, action, asked)
                    found += page["results"]
                    cursor = self._next(action, page, seen)
                    if not cursor:
                        return found
                    asked["cursor"] = cursor
            except RefusedError as error:
                if not _is_lost(error.code) or start == FRESH_STARTS:
                    raise
        raise AssertionError("unreachable")

    def _call(
        self, client: Client, action: str, body: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dt.datetime]:
        """One page that Ashby itself calls a success, and its clock."""
        answer = client.post(action, body)
        content = answer.content
        if not isinstance(content, dict) or content.get("success") is not True:
            code = _code(content)
            raise RefusedError(
                f"{self.name}: {action} refused ({code or 'no reason given'}):"
                f" {_cure(action, code)}",
                status=200,
                code=code,
            )
        results = content.get("results")
        if not isinstance(results, list) or not all(
            isinstance(item, dict) for item in results
        ):
            raise SourceError(
                f"{self.name}: {action} answered without a list of results; see"
                " whether base_url is that of Ashby's API"
            )
        return content, answer.served_at or dt.datetime.now(dt.UTC)

    def check(self) -> list[Access]:
        """Return what the key can and cannot see."""
        found, parents = [], {}
        with self._client() as client:
            for action in (APPLICATIONS, *_COMPANY, *_OF_APPLICATIONS):
                row, first = self._access(client, action, {})
                parents[action] = first
                found.append(row)
            for action, name, parent in (
                (HISTORY, "applicationId", parents[APPLICATIONS]),
                (STAGES, "interviewPlanId", parents[PLANS]),
            ):
                if parent:
                    found.append(self._access(client, action, {name: parent})[0])
        return [*found, self._demographics()]

    def _access(
        self, client: Client, action: str, body: Mapping[str, Any]
    ) -> tuple[Access, str | None]:
        """What can be seen of one list, and the id of an item of it."""
        permission = _PERMISSIONS[action]
        is_required = action in (APPLICATIONS, HISTORY)
        level: Any = "fault" if is_required else "warning"
        try:
            page, _ = self._call(
                client, action, {"limit": 1, **_BODIES.get(action, {}), **body}
            )
        except RefusedError as error:
            if error.status == 401:
                cure = "make a key in Ashby (Admin, Integrations, API keys)"
                return Access(action, "fault", "the key is not accepted", cure), None
            if _is_forbidden(error):
                said = f"refused: the key lacks {permission}"
                cure = f"give the key {permission} in Ashby (Admin, API keys)"
                return Access(action, level, said, cure), None
            said = f"refused: {error.code or f'HTTP {error.status}'}"
            return Access(action, level, said, "see Ashby's documentation"), None
        except SourceError as error:
            return Access(action, level, str(error)), None
        if not page["results"]:
            cure = (
                "if there should be some: see whether the key may read confidential"
                f" jobs, and {permission}"
            )
            empty: Any = "warning" if is_required else "ok"
            return Access(action, empty, "can be read; it is empty", cure), None
        return Access(action, "ok", "can be read"), str(page["results"][0].get("id"))

    def _demographics(self) -> Access:
        """What to do about self-identification, which Ashby gives to no key."""
        if not self.config.demographics:
            return Access("demographics", "ok", "not asked for (demographics: false)")
        return Access(
            "demographics",
            "warning",
            "cannot come from Ashby: its API gives self-identification to no key",
            "export counts from Ashby's EEO report, bring them into the columns stage,"
            " attribute, value, period, entered, advanced, and put them into the inbox"
            f" as {self.name}/demographic_counts.csv; see docs/landing-contract.md",
        )

    def relations(self, connection: duckdb.DuckDBPyConnection, mirror: Mirror) -> None:
        """Make the relations, and what several entities have in common."""
        super().relations(connection, mirror)
        text = (SQL / self.translation).read_text(encoding="utf-8")
        connection.execute(text.partition("-- entity: ")[0])
        rows = connection.execute("select what, word, n from unmapped order by all")
        for what, word, n in rows.fetchall():
            # The vendor's enums are single words; anything else may be somebody's text.
            is_word = word.isascii() and word.isalnum() and len(word) <= 40
            said = f" {word}" if is_word else ""
            self.report.notes.append(f"unmapped: {what}{said} ({n:,} times)")


def _kept(value: Any, shape: Any) -> Any:
    """A value cut down to a shape; what has another form is left out."""
    if shape is None:
        return value if isinstance(value, str | int | float) else None
    if isinstance(value, list):
        kept = [_kept(item, shape or None) for item in value]
        return [item for item in kept if item is not None]
    if isinstance(value, dict) and shape:
        return {name: _kept(value.get(name), inner) for name, inner in shape.items()}
    return None


def _fields_of(form: Any) -> Iterable[Mapping[str, Any]]:
    """The fields of a form, section by section."""
    sections = form.get("sections") if isinstance(form, dict) else None
    for section in sections or ():
        for entry in section.get("fields") or ():
            field = entry.get("field", entry)
            if isinstance(field, dict) and field.get("path"):
                yield field


def _options(field: Mapping[str, Any]) -> list[str]:
    """The values that a field offers."""
    return [
        str(option.get("value"))
        for option in field.get("selectableValues") or ()
        if isinstance(option, dict)
    ]


def _ids(mirror: Mirror, stream: str) -> list[str]:
    """The ids of a stream's records."""
    ids: list[str] = mirror.batches(stream).read_all()["id"].to_pylist()
    return ids


def _is_lead(item: Mapping[str, Any]) -> bool:
    return item.get("status") == "Lead"


def _code(content: Any) -> str:
    """Ashby's name of an error, wherever the answer holds it: a word, no sentence."""
    if not isinstance(content, dict):
        return ""
    about = content.get("errorInfo")
    errors = content.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    words = [about.get("code")] if isinstance(about, dict) else []
    if isinstance(first, dict):
        words += [first.get("code"), first.get("message")]
    else:
        words.append(first)
    for word in words:
        if isinstance(word, str) and len(word) < 60 and word.isidentifier():
            return word
    return ""


def _cure(action: str, code: str) -> str:
    if "permission" in code:
        return f"give the key {_PERMISSIONS[action]} in Ashby (Admin, API keys)"
    return "see Ashby's documentation for this code"


def _is_forbidden(error: RefusedError) -> bool:
    return error.status == 403 or "permission" in error.code


def _is_lost(code: str) -> bool:
    """Whether a cursor or a token is no longer known, however Ashby spells it."""
    word = code.replace("_", "").lower()
    if word == "incrementalsynctoolarge":
        return True
    is_place = "cursor" in word or "synctoken" in word
    why = ("expired", "invalid", "unknown", "notfound", "malformed")
    return is_place and any(reason in word for reason in why)
