"""Greenhouse: the Harvest API v3, and archived exports of v1 in the same relations.

Parents embed no children in v3, so each list is a stream of its own, read by its time
of change in closed windows. Nothing tells what was deleted: a full pass does, since
what it does not come across is gone.

Users with a linked candidate are not delivered as `employees`. Greenhouse tells neither
when somebody left nor who was hired elsewhere, so retention would look perfect, and a
person who is in the HR system too would count as two.
"""

import datetime as dt
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx

from orchestration.sources import SourceError
from orchestration.sources.connector import Access, Connector, Stream
from orchestration.sources.http import (
    Answer,
    Client,
    ClientCredentials,
    RefusedError,
    secret,
)
from orchestration.sources.mirror import Mirror, Record

__all__ = ["Greenhouse", "GreenhouseArchive"]

BASE_URL = "https://harvest.greenhouse.io/v3"
TOKEN_URL = "https://auth.greenhouse.io/token"  # noqa: S105
PAGE = 500
# Without these an outcome or a job would be a guess; the rest may be refused.
REQUIRED = ("users", "jobs", "rejection_reasons", "rejection_details", "applications")
SELF_IDENTIFICATION = (
    "eeoc", "demographic_questions", "demographic_answer_options",
    "demographic_answers",
)  # fmt: skip
_QUESTIONS = "demographic_questions"
# Only what belongs to a question that is counted is kept.
_OF_QUESTIONS = ("demographic_answer_options", "demographic_answers")
# Lists that cannot be asked for what changed.
UNFILTERED = ("demographic_questions", "demographic_answer_options")
_QUERIES = {
    "users": {"show_service_accounts": "true"},
    "rejection_reasons": {"include_defaults": "true"},
}
# Lists that an account may well have without a record.
_MAY_BE_EMPTY = (
    "interviewer_tags", "openings", "close_reasons", "offers", "offices",
    *SELF_IDENTIFICATION,
)  # fmt: skip
KNOWN = {
    "applications": ("status", ("in_process", "active", "rejected", "hired",
                                "converted")),
    "rejection_reasons": ("type", ("WE_REJECTED_THEM", "THEY_REJECTED_US",
                                   "NONE_SPECIFIED", "SECURITY_CONCERN")),
    "offers": ("status", ("Created", "Accepted", "Rejected", "Deprecated")),
    "interviews": ("status", ("to_be_scheduled", "scheduled", "awaiting_feedback",
                              "complete", "skipped", "collect_feedback", "to_be_sent",
                              "sent", "received")),
    "job_owners": ("type", ("sourcer", "recruiter", "coordinator")),
    "scorecards": ("status", ("draft", "complete")),
}  # fmt: skip
_OTHER_FORM = "the answer has a form that is not Greenhouse's; look at base_url"
_NOT_ADMIN = (
    "the list of users is empty, as all lists are for who is no Site Admin. Let"
    " `subject` be the id of a user who is one"
)
# After one of these every list looks the same.
_HOPELESS = ("refused (HTTP 400)", "refused (HTTP 401)", "an empty list")
_CURE = "grant the client the scope `harvest:{}:list` (Greenhouse: Dev Center, API)"

Raw = Mapping[str, Any]


class Greenhouse(Connector):
    """Reads a Greenhouse account in the name of a Site Admin."""

    translation: ClassVar[str] = "greenhouse.sql"
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "users", ("name", "deactivated", "department_ids{}", "interviewer_tags{}")
        ),
        Stream("departments", ("name",)),
        Stream("offices", ("name",)),
        Stream("sources", ("name",)),
        Stream("rejection_reasons", ("name", "type")),
        Stream("close_reasons", ("name",)),
        Stream("interviewer_tags", ("name",)),
        Stream(
            "jobs",
            (
                "name", "department_id", "office_ids{}", "status", "is_template",
                "opened_at", "closed_at",
            ),
        ),
        Stream("job_hiring_managers", ("job_id", "user_id")),
        Stream("job_owners", ("job_id", "user_id", "type")),
        Stream(
            "openings",
            ("job_id", "application_id", "open", "opened_at", "closed_at",
             "close_reason_id"),
        ),
        Stream("job_interview_stages", ("job_id", "name", "sort_order", "active")),
        Stream("job_interviews", ("job_interview_stage_id", "name")),
        Stream("interview_kits", ("job_interview_id",)),
        Stream("job_candidate_attributes", ("name",)),
        Stream(
            "focus_candidate_attributes",
            ("interview_kit_id", "job_candidate_attribute_id"),
        ),
        # Before the applications, which take the reason of their ending from here.
        Stream(
            "rejection_details",
            ("rejection_reason_id", "rejected_at"),
            id="application_id",
        ),
        Stream("candidates", ("name", "email", "created_at")),
        Stream(
            "applications",
            (
                "candidate_id", "job_id", "prospect", "status", "stage_id",
                "stage_name", "recruiter_id", "source_id", "rejected_at", "created_at",
                "updated_at", "endings{}",
            ),
        ),
        Stream(
            "application_stages",
            ("application_id", "job_interview_stage_id", "entered_at", "exited_at",
             "created_at"),
        ),
        Stream(
            "interviews",
            (
                "application_id", "job_interview_id", "status", "starts_at", "ends_at",
                "all_day_start_on", "created_at", "updated_at",
            ),
        ),
        Stream(
            "interviewers",
            ("interview_id", "user_id", "response_status", "scorecard_id"),
        ),
        Stream(
            "scorecards",
            (
                "application_id", "interview_kit_id", "interviewer_id", "status",
                "candidate_rating", "submitted_at", "updated_at",
            ),
        ),
        Stream(
            "scorecard_candidate_attributes",
            (
                "scorecard_id", "job_candidate_attribute_id",
                "candidate_attribute_rating", "has_note", "updated_at",
            ),
        ),
        Stream(
            "offers",
            (
                "offer_id", "version", "application_id", "status", "sent_on",
                "starts_on", "resolved_at", "created_at", "updated_at",
            ),
        ),
        Stream(
            "eeoc",
            ("application_id", "gender", "race", "veteran_status",
             "disability_status"),
        ),
        Stream(
            "demographic_questions",
            ("demographic_question_set_id", "attribute", "active"),
        ),
        Stream("demographic_answer_options", ("name", "decline_to_answer")),
        Stream(
            "demographic_answers",
            ("application_id", "demographic_question_id",
             "demographic_answer_option_id"),
        ),
    )  # fmt: skip

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Bring the mirror up to date.

        Raises
        ------
        SourceError
            If the service cannot be read, or shows nothing because `subject` is no Site
            Admin; what was read so far is kept.
        """
        with self._client() as client:
            try:
                self._read(client, mirror, full=full)
            finally:
                self.report.n_requests = client.n_requests
                self.report.n_repeated = client.n_repeated
        self._note_unmapped(mirror)

    def _read(self, client: Client, mirror: Mirror, *, full: bool) -> None:
        answer = client.get("users", {"per_page": 1})
        if not self._page("users", answer)[0]:
            raise SourceError(f"{self.name}: {_NOT_ADMIN}.")
        now = _clock(answer, self.name)
        is_full = False
        for stream in self._wanted(mirror):
            if stream.name in _OF_QUESTIONS and not mirror.count(_QUESTIONS):
                continue
            try:
                was_full = self._pass(client, mirror, stream.name, now=now, full=full)
            except RefusedError as error:
                if error.status not in (403, 404) or stream.name in REQUIRED:
                    raise
                self.report.notes.append(
                    f"{stream.name}: refused (HTTP {error.status}); what was read"
                    f" before stays as it was. {_cured(stream.name)}."
                )
                continue
            if stream.name == "applications":
                is_full = was_full
        # Some lists are always read whole; what counts is that of the applications.
        self.report.is_full = is_full

    def check(self) -> list[Access]:
        """Return what the client can and cannot see, list by list."""
        found = []
        with self._client() as client:
            for stream in self.streams:
                if stream.name in SELF_IDENTIFICATION and not self.config.demographics:
                    found.append(
                        Access(
                            stream.name,
                            "ok",
                            "not read: sources.yaml has it switched off",
                        )
                    )
                    continue
                found.append(self._look(client, stream.name))
                if found[-1].level == "fault" and found[-1].found in _HOPELESS:
                    break
        return found

    def _look(self, client: Client, stream: str) -> Access:
        """Whether a list can be read."""
        try:
            rows, _ = self._page(stream, client.get(stream, {"per_page": 1}))
        except RefusedError as error:
            is_fault = error.status in (400, 401) or stream in REQUIRED
            return Access(
                stream,
                "fault" if is_fault else "warning",
                f"refused (HTTP {error.status})",
                _cured(stream)
                if error.status in (403, 404)
                else "look at credentials.client_id, credentials.client_secret and"
                " subject",
            )
        if not rows and stream == "users":
            return Access(stream, "fault", "an empty list", f"{_NOT_ADMIN}.")
        if not rows and stream not in _MAY_BE_EMPTY:
            cure = f"if the account has some: {_cured(stream)}"
            return Access(stream, "warning", "an empty list", cure)
        return Access(stream, "ok", "readable" if rows else "readable, empty")

    def _client(self) -> Client:
        secrets = {}
        for name in ("client_id", "client_secret"):
            reference = self.config.credentials.get(name)
            if not reference:
                raise SourceError(
                    f"{self.name}: sources.yaml names no credentials.{name}; write"
                    f" `{name}: env:NAME` or `{name}: file:PATH`"
                )
            secrets[name] = secret(reference, where=f"{self.name}: credentials.{name}")
        return Client(
            self.name,
            self.config.base_url or BASE_URL,
            ClientCredentials(
                self.config.token_url or TOKEN_URL,
                secrets["client_id"],
                secrets["client_secret"],
                self.config.subject,
            ),
            sleep=self.sleep,
        )

    def _wanted(self, mirror: Mirror) -> Iterator[Stream]:
        """The streams to read; what is no longer wanted does not stay."""
        for stream in self.streams:
            if stream.name in SELF_IDENTIFICATION and not self.config.demographics:
                mirror.finish(stream.name, place={}, unseen_before=1 << 62)
                continue
            yield stream

    def _pass(
        self,
        client: Client,
        mirror: Mirror,
        stream: str,
        *,
        now: dt.datetime,
        full: bool,
    ) -> bool:
        """Read a list to its end, from where it was left; return whether all of it."""
        place = self.open_pass(
            mirror,
            stream,
            full=full,
            served_at=now,
            has_filter=stream not in UNFILTERED,
        )
        running = place["running"]
        query = dict(_QUERIES.get(stream, {}))
        if running["since"]:
            # Closed on both sides: what changes meanwhile belongs to the next window.
            window = (_instant(running[side]) for side in ("since", "started_at"))
            query["updated_at"] = "gte|{}|lt|{}".format(*window)
        left_at = running["cursor"]
        try:
            self._walk(client, mirror, stream, query, place)
        except RefusedError as error:
            if error.status not in (400, 404, 410, 422) or left_at is None:
                raise
            if running["cursor"] != left_at:
                raise
            # The place of a sync that was killed long ago is no longer known there.
            self.report.notes.append(f"{stream}: begun again, its place had expired")
            running["cursor"] = None
            self._walk(client, mirror, stream, query, place)
        self.close_pass(mirror, stream, place)
        return bool(running["is_full"])

    def _walk(
        self,
        client: Client,
        mirror: Mirror,
        stream: str,
        query: Mapping[str, str],
        place: dict[str, Any],
    ) -> None:
        """Keep a list page by page."""
        running = place["running"]
        seen = {running["cursor"]}
        while True:
            cursor = running["cursor"]
            asked = {"cursor": cursor} if cursor else {**query, "per_page": PAGE}
            rows, following = self._page(stream, client.get(stream, asked))
            if following is not None and following in seen:
                raise SourceError(
                    f"{self.name}: {stream} names the same next page twice; reading it"
                    " would never end. Run the sync again later, and tell Greenhouse's"
                    " support if it stays so."
                )
            seen.add(following)
            running["cursor"] = following
            self._keep(mirror, stream, rows, place)
            if following is None:
                return

    def _page(self, stream: str, answer: Answer) -> tuple[list[Raw], str | None]:
        """The records of an answer, and the cursor of the next page.

        Only the cursor of the link is used: with anything else a page is refused.
        """
        rows = answer.content
        if not isinstance(rows, list):
            raise SourceError(f"{self.name}: {stream}: {_OTHER_FORM}")
        cursor = None
        if answer.next_url:
            url = httpx.URL(answer.next_url)
            base = httpx.URL(self.config.base_url or BASE_URL)
            if url.is_absolute_url and (url.scheme, url.netloc) != (
                base.scheme,
                base.netloc,
            ):
                raise SourceError(
                    f"{self.name}: {stream}: the next page was said to be on another"
                    f" server than {base.scheme}://{base.host}; not followed"
                )
            cursor = url.params.get("cursor")
            if not cursor:
                raise SourceError(f"{self.name}: {stream}: {_OTHER_FORM}")
        return [row for row in rows if isinstance(row, dict)], cursor

    def _keep(
        self,
        mirror: Mirror,
        stream: str,
        rows: list[Raw],
        place: Mapping[str, Any],
    ) -> None:
        """Keep what is translated of some records, and the place to go on from."""
        if stream in _OF_QUESTIONS:
            rows = [row for row in rows if _is_counted(mirror, row)]
        records = [_record(stream, row) for row in rows]
        if stream == "applications":
            records = [_with_endings(mirror, record) for record in records if record]
        mirror.put(
            stream,
            [record for record in records if record],
            place=place,
            seen=place["running"]["number"],
        )

    def _note_unmapped(self, mirror: Mirror) -> None:
        """Say what the service holds that the translation does not know."""
        found = Counter[str]()
        for stream, (field, known) in KNOWN.items():
            for body in _bodies(mirror, stream):
                if body[field] not in known:
                    found[f"{stream} with a {field} that is not known here"] += 1
        for body in _bodies(mirror, "scorecards"):
            if body["submitted_at"] and body["interviewer_id"] is None:
                found["scorecards of nobody in the account, left out"] += 1
        self.report.notes += [f"unmapped: {n:,} {what}" for what, n in found.items()]


def _cured(stream: str) -> str:
    cure = _CURE.format(stream)
    if stream in SELF_IDENTIFICATION:
        return f"{cure}, or set `demographics: false`"
    return cure


def _clock(answer: Answer, name: str) -> dt.datetime:
    if answer.served_at is None:
        raise SourceError(
            f"{name}: the service does not tell its time (no Date header), so what"
            " changed since could not be asked for; look at base_url and proxies"
        )
    return answer.served_at


def _instant(written: str) -> str:
    instant = dt.datetime.fromisoformat(written).astimezone(dt.UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _bodies(mirror: Mirror, stream: str) -> Iterator[dict[str, Any]]:
    for batch in mirror.batches(stream):
        for body in batch.column("body").to_pylist():
            yield json.loads(body)


# -- what is kept of a record -----------------------------------------------------


def _record(stream: str, raw: Raw) -> Record | None:
    """A record as it is kept, or None where it has no id."""
    made = _MADE[stream](raw) if stream in _MADE else {}
    about = _STREAMS[stream]
    id_ = raw.get(about.id)
    if id_ is None:
        return None
    if stream == "offers":
        # Whether the versions of an offer share its id is not documented.
        id_ = f"{id_}/{raw.get('version')}"
    body = {name: made.get(name, raw.get(name)) for name in about.kept}
    # Named as its parent, so that an erasure finds what only the id tells.
    parent = str(id_) if about.id == "application_id" else ""
    return Record(str(id_), body, str(raw.get("updated_at") or ""), parent)


def _with_endings(mirror: Mirror, record: Record) -> Record:
    """An application, with how often it ended and was opened again so far."""
    before = mirror.body("applications", record.id) or {}
    detail = mirror.body("rejection_details", record.id) or {}
    endings = _endings(before.get("endings") or [], record.body, detail)
    return replace(record, body={**record.body, "endings": endings})


def _endings(
    before: list[dict[str, Any]], now: Raw, detail: Raw
) -> list[dict[str, Any]]:
    """When an application ended and was opened again, as far as it was seen.

    Greenhouse tells how it stands today. One that is open again was opened at the
    latest when its record changed. Ended anew since, the time in between is unknown,
    and the new ending takes the place of the old.
    """
    past = [dict(one) for one in before]
    kind = now["status"]
    last = past[-1] if past and past[-1]["reopened_at"] is None else None
    if kind in ("in_process", "active"):
        if last:
            last["reopened_at"] = now["updated_at"]
        return past
    if kind not in ("rejected", "hired"):
        return past
    reason, at = None, None
    if kind == "rejected":
        reason = detail.get("rejection_reason_id")
        at = now["rejected_at"] or detail.get("rejected_at")
    if last and last["kind"] == kind and at in (None, last["at"]):
        last["reason"] = reason or last["reason"]
        return past
    if last:
        past.pop()
    at = at or now["updated_at"]
    return [*past, {"kind": kind, "at": at, "reason": reason, "reopened_at": None}]


def _is_counted(mirror: Mirror, raw: Raw) -> bool:
    """Whether an answer is to a question that is one of the contract's attributes."""
    question = mirror.body(_QUESTIONS, str(raw.get("demographic_question_id")))
    return bool(question and question["attribute"])


def _named(raw: Raw) -> str | None:
    whole = " ".join(filter(None, (raw.get("first_name"), raw.get("last_name"))))
    return raw.get("name") or whole or None


def _made_user(raw: Raw) -> dict[str, Any]:
    tags = [
        tag.get("name") or tag.get("id") if isinstance(tag, dict) else tag
        for tag in raw.get("interviewer_tags") or []
    ]
    return {
        "name": _named(raw),
        "department_ids": [str(one) for one in raw.get("department_ids") or []],
        "interviewer_tags": [str(tag) for tag in tags if tag],
    }


def _made_candidate(raw: Raw) -> dict[str, Any]:
    emails = [
        one.get("value") if isinstance(one, dict) else one
        for one in raw.get("email_addresses") or []
    ]
    # This is what Greenhouse writes over the name of a person who is anonymised.
    is_anonymised = raw.get("first_name") == "Anonymized"
    return {
        "name": None if is_anonymised else _named(raw),
        "email": next(filter(None, emails), None) if not is_anonymised else None,
    }


def _made_reason(raw: Raw) -> dict[str, Any]:
    kind = raw.get("type") or {}
    key = kind.get("key") or kind.get("name") or "" if isinstance(kind, dict) else kind
    return {"type": str(key).strip().upper().replace(" ", "_") or None}


def _made_scorecard(raw: Raw) -> dict[str, Any]:
    is_submitted = raw.get("status") == "complete" and raw.get("submitted_at")
    return {
        "submitted_at": raw["submitted_at"] if is_submitted else None,
        "candidate_rating": raw.get("candidate_rating") if is_submitted else None,
    }


def _made_attribute(raw: Raw) -> dict[str, Any]:
    return {"has_note": bool(str(raw.get("note") or "").strip())}


def _made_offer(raw: Raw) -> dict[str, Any]:
    return {"offer_id": raw.get("id")}


def _made_eeoc(raw: Raw) -> dict[str, Any]:
    return {name: _answer(raw.get(name)) for name in _EEOC}


def _answer(given: Any) -> str | None:
    """An answer as it is worded; v1 words some of them in a field of another name."""
    if not isinstance(given, dict):
        return given
    return given.get("description") or given.get("message") or given.get("name")


def _made_question(raw: Raw) -> dict[str, Any]:
    text = str(raw.get("name") or "").lower()
    found = (name for pattern, name in _ATTRIBUTES if re.search(pattern, text))
    return {"attribute": next(found, None)}


# What a question asks for, by its words; the first that is found counts.
_ATTRIBUTES = (
    (r"orientation|transgender|pronoun", None),
    (r"gender|\bsex\b", "sex"),
    (r"\brac(e|es|ial)\b|ethnic", "race_ethnicity"),
    (r"veteran|military", "veteran"),
    (r"disab", "disability"),
)
_EEOC = ("gender", "race", "veteran_status", "disability_status")
_MADE: dict[str, Callable[[Raw], dict[str, Any]]] = {
    "users": _made_user,
    "candidates": _made_candidate,
    "rejection_reasons": _made_reason,
    "scorecards": _made_scorecard,
    "scorecard_candidate_attributes": _made_attribute,
    "offers": _made_offer,
    "eeoc": _made_eeoc,
    "demographic_questions": _made_question,
}
_STREAMS = {stream.name: stream for stream in Greenhouse.streams}


# -- archives of v1 ---------------------------------------------------------------

Rows = Iterator[tuple[str, dict[str, Any]]]
LONGEST_FILE = 512 << 20
_BATCH = 5_000
_FORMS = (".json", ".jsonl", ".ndjson")


class GreenhouseArchive(Greenhouse):
    """Reads a folder of archived v1 exports: `<endpoint>*.json` or `.jsonl`, gzipped.

    v1 has no stage history: an application is in its stage of the export, since when is
    not known. The activity feed is free text, and is not read.
    """

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Bring the mirror to what the archive holds.

        Raises
        ------
        SourceError
            If a file cannot be read, or none holds applications.
        """
        files = self._files()
        if not {"applications", "candidates"} & {endpoint for endpoint, _ in files}:
            raise SourceError(
                f"{self.name}: {self._folder()} holds no applications*.json; see"
                " docs/connectors.md for the names of the files"
            )
        newest = max(path.stat().st_mtime for _, path in files)
        at = dt.datetime.fromtimestamp(int(newest), dt.UTC)
        streams = [stream.name for stream in self._wanted(mirror)]
        places = {
            stream: self.open_pass(mirror, stream, full=True, served_at=at)
            for stream in streams
        }
        for place in places.values():
            # A number of its own even after a kill: the files may be others by now.
            place["running"]["number"] += 1
        for rows in self._batches(files):
            for stream in streams:
                if rows[stream]:
                    self._keep(mirror, stream, rows[stream], places[stream])
        for stream in streams:
            self.close_pass(mirror, stream, places[stream])
        self._note_unmapped(mirror)

    def check(self) -> list[Access]:
        """Return which exports the folder holds."""
        try:
            files = self._files()
        except SourceError as error:
            return [Access("location", "fault", str(error))]
        found = Counter(endpoint for endpoint, _ in files)
        return [
            Access(endpoint, "ok", f"{found[endpoint]:,} files")
            if found[endpoint]
            else Access(
                endpoint,
                "fault"
                if endpoint == "applications" and not found["candidates"]
                else "warning",
                "no file",
                f"if there was an export, name it {endpoint}.json or {endpoint}.jsonl",
            )
            for endpoint in _V1
        ]

    def _folder(self) -> Path:
        if not self.config.location:
            raise SourceError(
                f"{self.name}: sources.yaml names no location; write the folder that"
                " holds the archive"
            )
        return Path(self.config.location).expanduser()

    def _files(self) -> list[tuple[str, Path]]:
        """The files that are read, each with its endpoint, in the order of reading."""
        folder = self._folder()
        if not folder.is_dir():
            raise SourceError(f"{self.name}: {folder} is no folder that can be read")
        found = []
        for path in sorted(folder.iterdir()):
            plain = path.name.removesuffix(".gz")
            if not plain.endswith(_FORMS) or path.is_symlink() or not path.is_file():
                continue
            endpoints = [name for name in _V1 if plain.startswith(name)]
            if endpoints:
                found.append((max(endpoints, key=len), path))
            else:
                self.report.notes.append(f"{path.name}: no endpoint that is read")
        order = list(_V1)
        return sorted(found, key=lambda one: (order.index(one[0]), one[1].name))

    def _batches(self, files: list[tuple[str, Path]]) -> Iterator[dict[str, list[Raw]]]:
        """What the files hold, as records of v3 by stream."""
        archive = _Archive()
        rows: dict[str, list[Raw]] = defaultdict(list)
        for endpoint, path in files:
            for n, raw in enumerate(self._records(path), start=1):
                try:
                    for stream, row in _V1[endpoint](archive, _identified(raw)):
                        rows[stream].append(row)
                except (AttributeError, KeyError, TypeError):
                    # The text of the error may hold values of the record.
                    raise SourceError(
                        f"{self.name}: {path.name}, record {n} has a form that is not"
                        f" that of {endpoint} in Harvest v1: a file holds a list of"
                        " records, or one a line"
                    ) from None
                if n % _BATCH == 0:
                    yield rows
                    rows.clear()
            yield rows
            rows.clear()

    def _records(self, path: Path) -> Iterator[Raw]:
        """The objects of a file, whichever form it has."""
        opened = gzip.open if path.suffix == ".gz" else open
        place = path.name
        try:
            with opened(path, "rb") as file:
                if not path.name.removesuffix(".gz").endswith(".json"):
                    for n, line in enumerate(
                        iter(lambda: file.readline(64 << 20), b"")
                    ):
                        place = f"{path.name}, line {n + 1}"
                        if line.strip():
                            yield _object(json.loads(line))
                    return
                content = file.read(LONGEST_FILE + 1)
            if len(content) > LONGEST_FILE:
                raise SourceError(
                    f"{self.name}: {place} has over 512 MB; write it as .jsonl, one"
                    " record a line"
                )
            found = json.loads(content)
            yield from map(_object, found if isinstance(found, list) else [found])
        except (OSError, EOFError, ValueError, RecursionError) as error:
            # The text of the error may hold values of a record.
            raise SourceError(
                f"{self.name}: {place} cannot be read as JSON"
                f" ({type(error).__name__}); export it again"
            ) from None


def _object(value: Any) -> Raw:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _identified(raw: Raw) -> Raw:
    if raw.get("id") is None and raw.get("application_id") is None:
        raise KeyError("id")
    return raw


class _Archive:
    """What of an archive was met so far; v1 tells the same thing in several places."""

    def __init__(self) -> None:
        self.kits: dict[str, str] = {}
        self.met: set[tuple[str, str]] = set()

    def first(self, stream: str, row: dict[str, Any]) -> Rows:
        """A record, the first time that it is met."""
        key = (stream, str(row.get("id")))
        if row.get("id") is not None and key not in self.met:
            self.met.add(key)
            yield stream, row

    def interview(self, step: Raw | None) -> Rows:
        """The interview of a job, and a kit for it where the archive names none."""
        id_ = _id_of(step)
        if step and id_:
            yield from self.first("job_interviews", {"id": id_, "name": step["name"]})
            kit = self.kits.setdefault(id_, f"interview-{id_}")
            row = {"id": kit, "job_interview_id": id_}
            yield from self.first("interview_kits", row)


def _id_of(raw: Any) -> str | None:
    id_ = raw.get("id") if isinstance(raw, dict) else None
    return None if id_ is None else str(id_)


def _ids_of(rows: Any) -> list[str]:
    return [id_ for id_ in map(_id_of, rows or []) if id_]


def _same(stream: str) -> Callable[[_Archive, Raw], Rows]:
    """What v1 and v3 tell alike."""

    def rows(archive: _Archive, raw: Raw) -> Rows:
        archive.met.add((stream, str(raw.get("id"))))
        yield stream, dict(raw)

    return rows


def _v1_user(archive: _Archive, raw: Raw) -> Rows:
    departments = raw.get("departments") or []
    for department in departments:
        yield from archive.first("departments", department)
    yield (
        "users",
        {
            **raw,
            "deactivated": raw.get("disabled"),
            "department_ids": _ids_of(departments),
        },
    )


def _v1_source(archive: _Archive, raw: Raw) -> Rows:
    row = {"id": raw.get("id"), "name": raw.get("name") or raw.get("public_name")}
    yield from archive.first("sources", row)


def _v1_job(archive: _Archive, raw: Raw) -> Rows:
    job = str(raw.get("id"))
    for stream in ("departments", "offices"):
        for place in raw.get(stream) or []:
            if isinstance(place, dict):
                yield from archive.first(stream, place)
    yield (
        "jobs",
        {
            **raw,
            "department_id": next(iter(_ids_of(raw.get("departments"))), None),
            "office_ids": _ids_of(raw.get("offices")),
        },
    )
    team = raw.get("hiring_team") or {}
    for user in _ids_of(team.get("hiring_managers")):
        row = {"id": f"{job}/{user}", "job_id": job, "user_id": user}
        yield "job_hiring_managers", row
    for role in ("recruiter", "coordinator", "sourcer"):
        for user in _ids_of(team.get(f"{role}s")):
            row = {"id": f"{job}/{user}/{role}", "job_id": job, "user_id": user}
            yield "job_owners", {**row, "type": role}
    for opening in raw.get("openings") or []:
        reason = opening.get("close_reason")
        if isinstance(reason, dict):
            yield from archive.first("close_reasons", reason)
        yield (
            "openings",
            {
                **opening,
                "job_id": job,
                "open": opening.get("status") == "open",
                "close_reason_id": _id_of(reason),
            },
        )


def _v1_job_stage(archive: _Archive, raw: Raw) -> Rows:
    yield "job_interview_stages", {**raw, "sort_order": raw.get("priority")}
    for interview in raw.get("interviews") or []:
        id_, kit = _id_of(interview), _id_of(interview.get("interview_kit"))
        if id_ is None:
            continue
        row = {"id": id_, "name": interview.get("name")}
        yield from archive.first(
            "job_interviews", {**row, "job_interview_stage_id": raw.get("id")}
        )
        if kit:
            archive.kits[id_] = kit
            row = {"id": kit, "job_interview_id": id_}
            yield from archive.first("interview_kits", row)


def _v1_candidate(archive: _Archive, raw: Raw) -> Rows:
    yield "candidates", dict(raw)
    for application in raw.get("applications") or []:
        yield from _v1_application(archive, application)


def _v1_application(archive: _Archive, raw: Raw) -> Rows:
    id_, stage = str(raw.get("id")), raw.get("current_stage")
    reason, source = raw.get("rejection_reason"), raw.get("source")
    status = raw.get("status")
    if isinstance(source, dict):
        yield from _v1_source(archive, source)
    if isinstance(reason, dict):
        yield from archive.first("rejection_reasons", reason)
    if status == "rejected":
        yield (
            "rejection_details",
            {
                "application_id": id_,
                "rejection_reason_id": _id_of(reason),
                "rejected_at": raw.get("rejected_at"),
                "updated_at": raw.get("last_activity_at"),
            },
        )
    # One per application: a later export replaces the stage of an earlier one.
    visit = id_ if stage else None
    yield (
        "applications",
        {
            **raw,
            "job_id": next(iter(_ids_of(raw.get("jobs"))), None),
            "status": "in_process" if status == "active" else status,
            "stage_id": visit,
            "stage_name": stage.get("name") if stage else None,
            "recruiter_id": _id_of(raw.get("recruiter")),
            "source_id": _id_of(source),
            "created_at": raw.get("applied_at"),
            "updated_at": raw.get("last_activity_at"),
        },
    )
    if stage:
        yield (
            "application_stages",
            {
                "id": visit,
                "application_id": id_,
                "job_interview_stage_id": _id_of(stage),
                "updated_at": raw.get("last_activity_at"),
            },
        )


def _v1_interview(archive: _Archive, raw: Raw) -> Rows:
    step, id_ = raw.get("interview"), str(raw.get("id"))
    start, end = raw.get("start") or {}, raw.get("end") or {}
    yield from archive.interview(step)
    yield (
        "interviews",
        {
            **raw,
            "job_interview_id": _id_of(step),
            "starts_at": start.get("date_time"),
            "ends_at": end.get("date_time"),
            "all_day_start_on": start.get("date"),
        },
    )
    for n, person in enumerate(raw.get("interviewers") or []):
        user = _id_of(person)
        yield (
            "interviewers",
            {
                "id": f"{id_}/{user or f'guest-{n}'}",
                "interview_id": id_,
                "user_id": user,
                "response_status": person.get("response_status"),
                "scorecard_id": person.get("scorecard_id"),
                "updated_at": raw.get("updated_at"),
            },
        )


def _v1_scorecard(archive: _Archive, raw: Raw) -> Rows:
    step, card = raw.get("interview_step"), str(raw.get("id"))
    yield from archive.interview(step)
    yield (
        "scorecards",
        {
            **raw,
            "interview_kit_id": archive.kits.get(_id_of(step) or ""),
            "interviewer_id": _id_of(raw.get("interviewer")),
            "status": "complete" if raw.get("submitted_at") else "draft",
            "candidate_rating": raw.get("overall_recommendation"),
        },
    )
    for n, attribute in enumerate(raw.get("attributes") or []):
        name = attribute.get("name")
        yield from archive.first("job_candidate_attributes", {"id": name, "name": name})
        yield (
            "scorecard_candidate_attributes",
            {
                "id": f"{card}/{n}",
                "scorecard_id": card,
                "job_candidate_attribute_id": name,
                "candidate_attribute_rating": attribute.get("rating"),
                "note": attribute.get("note"),
                "updated_at": raw.get("updated_at"),
            },
        )


def _v1_offer(archive: _Archive, raw: Raw) -> Rows:
    status = raw.get("status")
    named = "Created" if status == "unresolved" else str(status or "").capitalize()
    yield (
        "offers",
        {
            **raw,
            "status": named or None,
            "sent_on": raw.get("sent_at"),
            "starts_on": raw.get("starts_at"),
        },
    )


def _v1_eeoc(archive: _Archive, raw: Raw) -> Rows:
    yield (
        "eeoc",
        {**raw, "id": raw.get("application_id"), "updated_at": raw.get("submitted_at")},
    )


# What each export tells, in the order of reading: what names things comes first.
_V1: dict[str, Callable[[_Archive, Raw], Rows]] = {
    "departments": _same("departments"),
    "offices": _same("offices"),
    "sources": _v1_source,
    "rejection_reasons": _same("rejection_reasons"),
    "close_reasons": _same("close_reasons"),
    "users": _v1_user,
    "jobs": _v1_job,
    "job_stages": _v1_job_stage,
    "applications": _v1_application,
    "candidates": _v1_candidate,
    "scheduled_interviews": _v1_interview,
    "scorecards": _v1_scorecard,
    "offers": _v1_offer,
    "eeoc": _v1_eeoc,
    "demographics_questions": _same("demographic_questions"),
    "demographics_answer_options": _same("demographic_answer_options"),
    "demographics_answers": _same("demographic_answers"),
}
