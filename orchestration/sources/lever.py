"""Lever's API v1: opportunities as they change, and what lies under each of them.

Feedback, interviews, panels, offers and applications are listed per opportunity only.
So they are read again for opportunities that changed, and for all of them in a full
pass, because a form may be completed without its opportunity's `updatedAt` moving.

EEO responses come in two forms. Those with PII name their opportunity and are delivered
as `demographics`. Where the key may not read them, the anonymous ones are counted as
`demographic_counts`, by quarter of application (UTC): of the stages they tell only that
of today, so the only stage is `overall`, and who advanced is who is hired. Never both,
for they are the same people: while answers with PII are there, also from before a key
lost its right to them, nothing is counted. The anonymous form has no ids, so it is read
whole each time, and an answer that came twice would count twice.

Lever documents `hiredDate` for EEO responses, but its example of the anonymous form
leaves it out. Taken for granted here: it is there, null for who is not hired or no
longer. Where no answer has it nothing is counted: hires that are unknown are not none.
"""

import datetime as dt
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from orchestration.sources import SourceError
from orchestration.sources.connector import Access, Connector, Stream
from orchestration.sources.http import Answer, Client, KeyAuth, RefusedError, secret
from orchestration.sources.mirror import Mirror, Record

__all__ = ["Lever"]

BASE_URL = "https://api.lever.co/v1"
PAGE = 100
CHILDREN = ("applications", "feedback", "interviews", "panels", "offers")
# Without these an outcome or a job would be a guess; the rest may be refused.
REQUIRED = ("opportunities", "stages", "archive_reasons", "applications")
# Before Lever was founded: without a beginning only the last week is listed.
BEGINNING = "1262304000000"
# Lists that are small and read whole: path, query, and the stream they fill.
_LISTS: dict[str, tuple[str, dict[str, str]]] = {
    "stages": ("stages", {}),
    "archive_reasons": ("archive_reasons", {}),
    "postings": ("postings", {"confidentiality": "all"}),
    "requisitions": ("requisitions", {"confidentiality": "all"}),
    "users": ("users", {"includeDeactivated": "true"}),
    "feedback_templates": ("feedback_templates", {}),
}
_EEO = ("eeo/responses/pii", {"created_at_start": BEGINNING})
_ANONYMOUS_EEO = ("eeo/responses", {"fromDate": BEGINNING})
# The contract's attributes and the questions they are; lever.sql says the same.
_ATTRIBUTES = {
    "sex": "gender",
    "race_ethnicity": "race",
    "veteran": "veteran",
    "disability": "disability",
}
_COUNTS = "all"
OFFER_STATUSES = (
    "draft", "approval-sent", "approved", "sent", "sent-manually", "opened", "denied",
    "signed",
)  # fmt: skip
_OTHER_FORM = "the answer has a form that is not Lever's; look at base_url"
_CURE = (
    "let the key read it, confidential records too (Lever: Settings, Integrations and"
    " API, API Credentials)"
)
_CURES = {
    "eeo_responses": "let the key read EEO responses with PII, or set `demographics:"
    " false`. The anonymous ones stand in where the key may read them, as totals by"
    " quarter: without stages, and without the mix of requisitions.",
    "eeo_counts": "let the key read EEO responses, rather those with PII, or set"
    " `demographics: false`",
}
# How the overall rating is spelled: `3 - Hire`.
_OVERALL = re.compile(r"[1-4] - ")

_MOVE = ("toStageId", "toStageIndex", "updatedAt")

Raw = Mapping[str, Any]


class Lever(Connector):
    """Reads a Lever account with an API key."""

    translation: ClassVar[str] = "lever.sql"
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "opportunities",
            (
                "contact", "name", "email", "createdAt", "updatedAt", "lastAdvancedAt",
                "stage", "stageChanges{}", "archivedAt", "archiveReason",
                "archivings{}", "owner", "origin", "isAnonymized",
            ),
            version="updatedAt",
        ),
        Stream("applications", ("createdAt", "posting", "requisition"), version=""),
        Stream(
            "feedback",
            (
                "text", "user", "interview", "baseTemplateId", "rubricVersion",
                "overall", "scores{}", "updatedAt", "completedAt",
            ),
            version="",
        ),
        Stream(
            "interviews",
            (
                "panel", "interviewers{}", "timezone", "createdAt", "date", "duration",
                "feedbackTemplate", "stage", "canceledAt",
            ),
            version="",
        ),
        Stream("panels", ("canceledAt",), version=""),
        Stream(
            "offers",
            ("status", "createdAt", "approvedAt", "sentAt", "signedAt", "startsAt"),
            version="",
        ),
        Stream("stages", ("text",), version=""),
        Stream("archive_reasons", ("text", "type"), version=""),
        Stream(
            "postings",
            (
                "text", "createdAt", "owner", "hiringManager", "team", "department",
                "location", "level",
            ),
            version="",
        ),
        Stream(
            "requisitions",
            ("posting", "status", "createdAt", "closedAt", "headcountTotal"),
            version="",
        ),
        Stream("users", ("name", "deactivatedAt"), version=""),
        Stream("feedback_templates", ("text",), version=""),
        Stream(
            "eeo_responses",
            ("gender", "race", "veteran", "disability"),
            id="opportunityId",
            version="eeoSurveyRespondedAt",
        ),
        # One record for all counts, so that a reading replaces them at once.
        Stream("eeo_counts", ("cells{}",), version=""),
    )  # fmt: skip

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Bring the mirror up to date.

        Raises
        ------
        SourceError
            If the service cannot be read; what was read so far is kept.
        """
        with self._client() as client:
            try:
                self._read(client, mirror, full=full)
            finally:
                self.report.n_requests = client.n_requests
                self.report.n_repeated = client.n_repeated
        self._note_unmapped(mirror)

    def _read(self, client: Client, mirror: Mirror, *, full: bool) -> None:
        now = _clock(client.get("stages", {"limit": 1}), self.name)
        for stream, (path, query) in _LISTS.items():
            with self._optional(stream):
                self._pass(client, mirror, stream, path, query, now=now)
        with self._optional("eeo_responses"):
            self._read_eeo(client, mirror, now=now)
        # Before the opportunities, so that what was deleted does not look lost.
        with self._optional("opportunities/deleted"):
            self._pass(
                client, mirror, "deleted", "opportunities/deleted", {},
                now=now, since="deleted_at_start",
            )  # fmt: skip
        is_full = self._pass(
            client, mirror, "opportunities", "opportunities",
            {"confidentiality": "all"}, now=now, since="updated_at_start", full=full,
        )  # fmt: skip
        for stream in CHILDREN:
            mirror.remove_orphans(stream, "opportunities")
            with self._optional(stream):
                self._read_children(client, mirror, stream)
        # The small lists are always read whole; what counts is the long one.
        self.report.is_full = is_full

    def check(self) -> list[Access]:
        """Return what the key can and cannot see, resource by resource."""
        found = []
        with self._client() as client:
            first, access = self._look(
                client, "opportunities", "opportunities", {"confidentiality": "all"}
            )
            found.append(access)
            for stream, (path, query) in _LISTS.items():
                found.append(self._look(client, stream, path, query)[1])
            found += self._look_at_eeo(client)
            found.append(
                self._look(client, "opportunities/deleted", "opportunities/deleted",
                           {}, may_be_empty=True)[1]
            )  # fmt: skip
            for stream in CHILDREN:
                if first is None:
                    found.append(
                        Access(stream, "warning", "not tried: no opportunity is seen")
                    )
                    continue
                path = f"opportunities/{_id(first)}/{stream}"
                found.append(self._look(client, stream, path, {}, may_be_empty=True)[1])
        return found

    def _look(
        self,
        client: Client,
        resource: str,
        path: str,
        query: Mapping[str, str],
        *,
        may_be_empty: bool = False,
    ) -> tuple[Raw | None, Access]:
        """A resource's first record, and whether it can be read."""
        try:
            rows, _ = self._page(path, client.get(path, {**query, "limit": 1}))
        except RefusedError as error:
            is_fault = error.status == 401 or resource in REQUIRED
            return None, Access(
                resource,
                "fault" if is_fault else "warning",
                f"refused (HTTP {error.status})",
                "look at the key that credentials.api_key refers to"
                if error.status == 401
                else _CURES.get(resource, _CURE),
            )
        if rows or may_be_empty:
            return (rows[0] if rows else None), Access(resource, "ok", "readable")
        return None, Access(
            resource,
            "warning",
            "an empty list",
            f"if the account has some: {_CURES.get(resource, _CURE)}",
        )

    def _look_at_eeo(self, client: Client) -> list[Access]:
        """Which form of the EEO responses the key may read, and which one is read."""
        if not self.config.demographics:
            off = "not read: sources.yaml has it switched off"
            return [Access(form, "ok", off) for form in ("eeo_responses", "eeo_counts")]
        _, named = self._look(client, "eeo_responses", *_EEO)
        first, counted = self._look(
            client, "eeo_counts", *_ANONYMOUS_EEO, may_be_empty=True
        )
        if counted.level == "fault":
            return [named, counted]
        if not named.found.startswith("refused"):
            told = f"{counted.found}; not read, eeo_responses tells the same people"
            return [named, Access("eeo_counts", "ok", told)]
        if first is not None and "hiredDate" not in first:
            told = "readable, but without hiredDate hires cannot be counted"
            return [named, Access("eeo_counts", "warning", told, _CURES["eeo_counts"])]
        if counted.level == "ok":
            told = "readable; counted where there are no eeo_responses"
            return [named, Access("eeo_counts", "ok", told)]
        return [named, counted]

    def _client(self) -> Client:
        reference = self.config.credentials.get("api_key")
        if not reference:
            raise SourceError(
                f"{self.name}: sources.yaml names no credentials.api_key; write"
                " `api_key: env:NAME` or `api_key: file:PATH`"
            )
        key = secret(reference, where=f"{self.name}: credentials.api_key")
        return Client(
            self.name,
            self.config.base_url or BASE_URL,
            KeyAuth(key),
            sleep=self.sleep,
        )

    @contextmanager
    def _optional(self, resource: str) -> Iterator[None]:
        """Go on without a resource that is refused, and say so."""
        try:
            yield
        except RefusedError as error:
            if error.status not in (403, 404) or resource in REQUIRED:
                raise
            self.report.notes.append(
                f"{resource}: refused (HTTP {error.status}); what was read before"
                f" stays as it was. Let the key read it, or see `calibrant sources"
                f" check {self.name}`."
            )

    def _read_eeo(self, client: Client, mirror: Mirror, *, now: dt.datetime) -> None:
        """Read self-identification by opportunity if the key may, else as totals."""
        if not self.config.demographics:
            # What was read before it was switched off does not stay either.
            mirror.finish("eeo_responses", place={}, unseen_before=1 << 62)
            mirror.remove("eeo_counts", [_COUNTS])
            return
        try:
            self._pass(client, mirror, "eeo_responses", *_EEO, now=now)
        except RefusedError as error:
            if error.status not in (403, 404) or mirror.count("eeo_responses"):
                raise
            self._count_eeo(client, mirror)
            self.report.notes.append(
                f"eeo_responses: refused (HTTP {error.status}); the anonymous ones"
                " are read in their place, as totals without stages. See `calibrant"
                f" sources check {self.name}`."
            )
        else:
            mirror.remove("eeo_counts", [_COUNTS])

    def _count_eeo(self, client: Client, mirror: Mirror) -> None:
        """Count the anonymous answers; nobody's answers are kept.

        Raises
        ------
        SourceError
            If there are far fewer than before, as for any list.
        """
        counts: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        n, n_undated, has_hires = 0, 0, False
        for rows, _ in self._pages(client, *_ANONYMOUS_EEO, None):
            for row in rows:
                n += 1
                has_hires |= "hiredDate" in row
                period = _quarter(row.get("appliedAt"))
                if period is None:
                    n_undated += 1
                    continue
                is_hired = bool(row.get("hiredDate"))
                is_open = not is_hired and not row.get("applicationArchivedAt")
                for attribute, question in _ATTRIBUTES.items():
                    counts[period, attribute, str(row.get(question) or "")].update(
                        entered=1, advanced=int(is_hired), open=int(is_open)
                    )
        self._see_shrinkage(mirror, n)
        if n and not has_hires:
            counts.clear()
            self.report.notes.append(
                "eeo_counts: the anonymous answers have no hiredDate. Who of them was"
                " hired is not known, so they are not counted."
            )
        elif n_undated:
            self.report.notes.append(
                f"eeo_counts: {n_undated:,} anonymous answers without a time of"
                " application are left out"
            )
        cells = [
            {"period": period, "attribute": attribute, "value": value, **numbers}
            for (period, attribute, value), numbers in sorted(counts.items())
        ]
        record = Record(_COUNTS, {"cells": cells})
        mirror.put("eeo_counts", [record], place={}, seen=0)

    def _see_shrinkage(self, mirror: Mirror, n: int) -> None:
        """Stop where far fewer answers are left than were counted before."""
        cells = (mirror.body("eeo_counts", _COUNTS) or {"cells": []})["cells"]
        before = sum(cell["entered"] for cell in cells) // len(_ATTRIBUTES)
        most = max(self.maximum_shrinkage * before, 10)
        if before - n > most and not self.accept_deletions:
            raise SourceError(
                f"{self.name}: eeo_counts shrank by {before - n:,} of {before:,}"
                " answers. A permission that was taken away looks like this: run"
                f" `calibrant sources check {self.name}`. If they were deleted, run"
                f" `calibrant sync {self.name} --accept-deletions`."
            )

    def _pass(
        self,
        client: Client,
        mirror: Mirror,
        stream: str,
        path: str,
        query: Mapping[str, str],
        *,
        now: dt.datetime,
        since: str = "",
        full: bool = False,
    ) -> bool:
        """Read a list to its end, from where it was left; return whether all of it."""
        place = self.open_pass(
            mirror, stream, full=full, served_at=now, has_filter=bool(since)
        )
        running = place["running"]
        asked = dict(query)
        if running["since"]:
            start = dt.datetime.fromisoformat(running["since"]).timestamp()
            asked[since] = str(int(start * 1000))
        left_at = running["cursor"]
        try:
            self._walk(client, mirror, stream, path, asked, place)
        except RefusedError as error:
            if error.status != 400 or left_at is None or running["cursor"] != left_at:
                raise
            # The place of a sync that was killed long ago is no longer known there.
            self.report.notes.append(f"{path}: begun again, its place had expired")
            running["cursor"] = None
            self._walk(client, mirror, stream, path, asked, place)
        if stream == "opportunities" and running["is_full"]:
            self._look_again(client, mirror, place)
        self.close_pass(mirror, stream, place)
        return bool(running["is_full"])

    def _walk(
        self,
        client: Client,
        mirror: Mirror,
        stream: str,
        path: str,
        query: Mapping[str, str],
        place: dict[str, Any],
    ) -> None:
        """Keep a list page by page."""
        running = place["running"]
        for rows, following in self._pages(client, path, query, running["cursor"]):
            running["cursor"] = following
            if stream == "deleted":
                self._forget(mirror, [_id(row) for row in rows])
                mirror.put(stream, (), place=place, seen=running["number"])
                continue
            rows = [row for row in rows if _named(stream, row)]
            if stream == "opportunities":
                records = [self._opportunity(mirror, row) for row in rows]
                if running["is_full"]:
                    # First, so that a kill in between reads too much, never too little.
                    mirror.queue(CHILDREN, [record.id for record in records])
            else:
                records = [_record(stream, row) for row in rows]
            children = CHILDREN if stream == "opportunities" else ()
            mirror.put(
                stream, records, place=place, seen=running["number"], children=children
            )

    def _look_again(
        self, client: Client, mirror: Mirror, place: Mapping[str, Any]
    ) -> None:
        """Ask for each opportunity that a full pass did not come across.

        A list that changes while it is read may skip some, and those were not deleted.
        """
        number = place["running"]["number"]
        for opportunity in mirror.unseen_ids("opportunities", number):
            raw = self._found(client, opportunity)
            if raw is not None:
                mirror.queue(CHILDREN, [opportunity])
                record = self._opportunity(mirror, raw)
                mirror.put("opportunities", [record], place=place, seen=number)

    def _read_children(self, client: Client, mirror: Mirror, stream: str) -> None:
        """Work a stream's queue off."""
        while parents := mirror.waiting(stream):
            for parent in parents:
                try:
                    pages = self._pages(
                        client, f"opportunities/{parent}/{stream}", {}, None
                    )
                    rows = [row for page, _ in pages for row in page]
                except RefusedError as error:
                    if error.status != 404 or self._found(client, parent):
                        raise
                    self._forget(mirror, [parent])
                    continue
                records = [
                    _record(stream, row, parent) for row in rows if _named(stream, row)
                ]
                mirror.replace_children(stream, parent, records, seen=0)

    def _found(self, client: Client, opportunity: str) -> Raw | None:
        """An opportunity, or None where it was deleted or is no longer shown."""
        path = f"opportunities/{opportunity}"
        try:
            content = client.get(path).content
        except RefusedError as error:
            if error.status not in (403, 404):
                raise
            return None
        raw = content.get("data") if isinstance(content, dict) else None
        if not isinstance(raw, dict) or _id(raw) != opportunity:
            raise SourceError(f"{self.name}: {path}: {_OTHER_FORM}")
        return raw

    def _forget(self, mirror: Mirror, opportunities: list[str]) -> None:
        """Remove opportunities with everything that hangs on them."""
        for opportunity in opportunities:
            for stream in CHILDREN:
                mirror.replace_children(stream, opportunity, (), seen=0)
        mirror.remove("eeo_responses", opportunities)
        mirror.remove("opportunities", opportunities)

    def _pages(
        self, client: Client, path: str, query: Mapping[str, str], cursor: str | None
    ) -> Iterator[tuple[list[Raw], str | None]]:
        """The pages of a list, each with the token of the next."""
        seen = {cursor}
        while True:
            asked = {**query, "limit": PAGE, **({"offset": cursor} if cursor else {})}
            rows, cursor = self._page(path, client.get(path, asked))
            if cursor in seen and cursor is not None:
                raise SourceError(
                    f"{self.name}: {path} names the same next page twice; reading it"
                    " would never end. Run the sync again later, and tell Lever's"
                    " support if it stays so."
                )
            seen.add(cursor)
            yield rows, cursor
            if cursor is None:
                return

    def _page(self, path: str, answer: Answer) -> tuple[list[Raw], str | None]:
        """The records of an answer, and the token of the next page."""
        content = answer.content if isinstance(answer.content, dict) else {}
        rows = content.get("data")
        if isinstance(rows, dict):
            rows = rows.get("eeoResponses")
        following = content.get("next") if content.get("hasNext", True) else None
        if not isinstance(rows, list) or (content.get("hasNext") and not following):
            raise SourceError(f"{self.name}: {path}: {_OTHER_FORM}")
        return [row for row in rows if isinstance(row, dict)], following

    def _opportunity(self, mirror: Mirror, raw: Raw) -> Record:
        """An opportunity, with how often it was archived and opened again so far."""
        body = _kept("opportunities", raw)
        before = mirror.body("opportunities", _id(raw)) or {}
        body["archivings"] = _archivings(before.get("archivings") or [], body)
        return Record(_id(raw), body, _version(raw.get("updatedAt")))

    def _note_unmapped(self, mirror: Mirror) -> None:
        """Say what the service holds that the translation does not know."""
        stages = {record["id"] for record in _records(mirror, "stages")}
        reasons = {
            record["id"]: record for record in _records(mirror, "archive_reasons")
        }
        found = Counter[str]()
        for record in _records(mirror, "offers"):
            found["offers of an unknown status, left out"] += (
                record["status"] not in OFFER_STATUSES
            )
        for record in _records(mirror, "opportunities"):
            if record["archivedAt"] is not None:
                reason = reasons.get(record["archiveReason"], {})
                found[
                    "opportunities archived for an unknown kind of reason, rejected"
                    " with close_reason `unmapped`"
                ] += reason.get("type") not in ("hired", "non-hired")
            visited = {change["toStageId"] for change in record["stageChanges"]}
            visited.add(record["stage"])
            found["opportunities in stages that are not listed, in `unmapped`"] += bool(
                visited - stages - {None}
            )
        self.report.notes += [
            f"unmapped: {n:,} {what}" for what, n in found.items() if n
        ]


def _records(mirror: Mirror, stream: str) -> Iterator[dict[str, Any]]:
    """The records of a stream, with their ids."""
    for batch in mirror.batches(stream):
        for row in batch.to_pylist():
            yield {**json.loads(row["body"]), "id": row["id"]}


def _clock(answer: Answer, name: str) -> dt.datetime:
    if answer.served_at is None:
        raise SourceError(
            f"{name}: the service does not tell its time (no Date header), so what"
            " changed since could not be asked for; look at base_url and proxies"
        )
    return answer.served_at


def _id(raw: Raw) -> str:
    """The id of a record; EEO responses have that of their opportunity."""
    return str(
        raw.get("id") or raw.get("opportunityId") or raw.get("opportunityID") or ""
    )


def _named(stream: str, raw: Raw) -> bool:
    """Whether a record is to be kept: drafts and deleted forms are not."""
    if stream == "feedback" and (raw.get("deletedAt") or not raw.get("completedAt")):
        return False
    return bool(_id(raw))


def _version(milliseconds: Any) -> str:
    """Text that sorts as the time does; "" where a record has none."""
    text = str(milliseconds or "")
    return text.zfill(15) if text.isdigit() else ""


def _quarter(milliseconds: Any) -> str | None:
    """The quarter of a time, UTC; None where it is none."""
    try:
        at = dt.datetime.fromtimestamp(int(milliseconds) / 1000, dt.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return f"{at.year}-Q{(at.month + 2) // 3}"


def _record(stream: str, raw: Raw, parent: str = "") -> Record:
    version = raw.get("eeoSurveyRespondedAt") if stream == "eeo_responses" else None
    return Record(_id(raw), _kept(stream, raw), _version(version), parent)


def _kept(stream: str, raw: Raw) -> dict[str, Any]:
    """The fields of a record that are translated; nothing else is stored."""
    made = _MADE[stream](raw) if stream in _MADE else {}
    return {
        name: made.get(name, raw.get(name))
        for name in _FIELDS[stream]
        if name not in ("id", "parent")
    }


def _made_opportunity(raw: Raw) -> dict[str, Any]:
    archived = raw.get("archived") or {}
    is_anonymized = bool(raw.get("isAnonymized"))
    emails = raw.get("emails") or []
    return {
        "name": None if is_anonymized else raw.get("name"),
        "email": emails[0] if emails and not is_anonymized else None,
        "archivedAt": archived.get("archivedAt") or raw.get("archivedAt"),
        "archiveReason": archived.get("reason") or raw.get("archiveReason"),
        "stageChanges": [
            {name: change.get(name) for name in _MOVE}
            for change in raw.get("stageChanges") or []
        ],
    }  # fmt: skip


def _archivings(before: list[dict[str, Any]], now: Raw) -> list[dict[str, Any]]:
    """When an opportunity was archived and opened again, as far as it was seen.

    Lever tells the last archiving only. One that is gone was opened again at the first
    move after it, else when the record changed. Archived anew without a move in between
    is the same archiving with another reason.
    """
    past = [dict(one) for one in before]
    at, reason = now["archivedAt"], now["archiveReason"]
    open_one = past[-1] if past and past[-1]["reopenedAt"] is None else None
    if open_one and open_one["archivedAt"] != at:
        moves = [
            change["updatedAt"]
            for change in now["stageChanges"]
            if change["updatedAt"]
            and open_one["archivedAt"] < change["updatedAt"] < (at or float("inf"))
        ]
        if at is None and now["updatedAt"]:
            moves.append(now["updatedAt"])
        if moves:
            open_one["reopenedAt"] = min(moves)
        else:
            past.pop()
    if at is None:
        return past
    if past and past[-1]["archivedAt"] == at:
        past.pop()
    return [*past, {"archivedAt": at, "reason": reason, "reopenedAt": None}]


def _made_feedback(raw: Raw) -> dict[str, Any]:
    """The ratings of a form, and a version that changes with its questions.

    Ids of fields are no part of the version: whether forms of one template share them
    is not documented, and a version of its own for each card would end comparison.
    """
    fields = [field for field in raw.get("fields") or [] if isinstance(field, dict)]
    shape = [
        [field.get("type"), field.get("text"), [s.get("text") for s in _scores(field)]]
        for field in fields
    ]
    digest = hashlib.sha256(json.dumps(shape, ensure_ascii=False).encode())
    scores, overall = [], None
    for field in fields:
        value = field.get("value")
        if field.get("type") == "score-system":
            overall = _spelled(value)
        elif field.get("type") == "score" and _OVERALL.match(str(value)):
            # Older forms have their overall rating in a field of this type.
            overall = overall or _spelled(value)
        elif field.get("type") == "score":
            scores.append(_score(field.get("text"), value))
        elif field.get("type") == "scorecard":
            values = value if isinstance(value, list) else []
            for place, about in enumerate(_scores(field)):
                given = values[place] if place < len(values) else None
                given = given if isinstance(given, dict) else {}
                has_evidence = bool(str(given.get("comment") or "").strip())
                scores.append(
                    _score(about.get("text"), given.get("score"), has_evidence)
                )
    return {
        "rubricVersion": digest.hexdigest()[:12],
        "overall": overall,
        "scores": [score for score in scores if score["competency"]],
    }


def _scores(field: Raw) -> list[Raw]:
    return [score for score in field.get("scores") or [] if isinstance(score, dict)]


def _score(
    competency: Any, value: Any, has_evidence: bool | None = None
) -> dict[str, Any]:
    return {
        "competency": competency,
        "rating": _spelled(value),
        "hasEvidence": has_evidence,
    }


def _spelled(value: Any) -> str | None:
    """A rating as the service spells it; the word `null` is none either."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None else str(value).strip()
    return None if text in ("", "null") else text


def _made_interview(raw: Raw) -> dict[str, Any]:
    people = [one for one in raw.get("interviewers") or [] if isinstance(one, dict)]
    # Who has no id is no user of the account; no id is made up for a guest.
    known = [one for one in people if one.get("id")]
    own = (one.get("feedbackTemplate") for one in known)
    return {
        "interviewers": sorted({str(one["id"]) for one in known}),
        "feedbackTemplate": raw.get("feedbackTemplate")
        or next(filter(None, own), None),
    }


def _made_offer(raw: Raw) -> dict[str, Any]:
    fields = [field for field in raw.get("fields") or [] if isinstance(field, dict)]
    starts = (
        field.get("value")
        for field in fields
        if field.get("identifier") == "anticipated_start_date"
    )
    signatures = raw.get("signatures") or {}
    signed = (signatures.get("candidate") or {}).get("signedAt")
    document = raw.get("signedDocument") or {}
    return {
        "signedAt": signed or document.get("uploadedAt"),
        "startsAt": next(starts, None),
    }


def _made_application(raw: Raw) -> dict[str, Any]:
    return {"requisition": (raw.get("requisitionForHire") or {}).get("id")}


def _made_posting(raw: Raw) -> dict[str, Any]:
    categories = raw.get("categories") or {}
    return {
        name: categories.get(name)
        for name in ("team", "department", "location", "level")
    }


def _made_requisition(raw: Raw) -> dict[str, Any]:
    return {"posting": next(iter(raw.get("postings") or []), None)}


_MADE: dict[str, Callable[[Raw], dict[str, Any]]] = {
    "opportunities": _made_opportunity,
    "applications": _made_application,
    "feedback": _made_feedback,
    "interviews": _made_interview,
    "offers": _made_offer,
    "postings": _made_posting,
    "requisitions": _made_requisition,
}
_FIELDS = {stream.name: stream.kept for stream in Lever.streams}
