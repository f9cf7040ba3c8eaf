"""Takes a person out of everything a home holds, and certifies it."""

import calendar
import csv
import datetime as dt
import hashlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.contract import ENTITIES
from orchestration.landing.erasure import Erased, Erasures
from orchestration.landing.identity import load_key, pseudonym
from orchestration.landing.ingest import Ingest
from orchestration.landing.people import links, load_identity
from orchestration.landing.store import FORMS, Arrived, read_note, write_text
from orchestration.settings import Home, Settings, SettingsError
from orchestration.warehouse import connect

# Ids by the table whose key they are; each is found through the application.
_OF_APPLICATIONS = {
    "scorecard": ("scorecards", "scorecard_id"),
    "interview": ("interviews", "interview_id"),
    "debrief": ("debriefs", "debrief_id"),
    "submission": ("take_homes", "submission_id"),
}
_PEOPLE = {"candidate": "candidates", "employee": "employees", "staff": "interviewers"}
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\Z")


@dataclass
class Subject:
    """A person and what belongs to them, as native ids by space."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def add(self, space: str, ids: Sequence[str]) -> None:
        """Add ids of a space."""
        if ids:
            self.ids.setdefault(space, set()).update(ids)

    def digests(self, digest: Callable[[str], str]) -> list[str]:
        """Return what the ledger holds of them."""
        return sorted(
            f"{space}|{digest(native)}"
            for space, natives in self.ids.items()
            for native in natives
        )


class Finder:
    """Finds a person in what was delivered."""

    def __init__(self, settings: Settings, taken: Ingest) -> None:
        self.home, self.taken = settings.home, taken
        self.key = load_key(self.home)
        self.identity = load_identity(self.home)

    def find(self, person: str) -> Subject:
        """Return a person and all that belongs to them.

        Parameters
        ----------
        person : str
            `source:id`, `candidate source:id` (or employee, staff) where an id stands
            for several people, an e-mail address, or a pseudonym.

        Raises
        ------
        SettingsError
            If nobody is found, or the id stands for several people.
        """
        space, _, text = person.rpartition(" ")
        if space and space not in _PEOPLE:
            raise SettingsError(
                f"{person!r}: write `candidate`, `employee` or `staff` before the id"
            )
        with connect() as connection:
            found = self._people(connection, text)
            if space:
                found = {space: found.get(space, {})}
            found = {name: ids for name, ids in found.items() if ids}
            if not found:
                raise SettingsError(
                    f"{text!r}: nobody here has this id, e-mail address or pseudonym;"
                    " ids are written `<source>:<id>`"
                )
            if len(found) > 1 and not _MAIL.match(text):
                raise SettingsError(
                    f"{text!r} is the id of several people ({', '.join(found)}); write"
                    f" e.g. `{next(iter(found))} {text}`"
                )
            return self._whole(connection, found)

    def _people(
        self, connection: duckdb.DuckDBPyConnection, text: str
    ) -> dict[str, dict[str, str]]:
        """Native ids and pseudonyms of the people a text stands for, by space."""
        found: dict[str, dict[str, str]] = {}
        aliases = self._aliases(text)
        pseudonyms = {pseudonym(self.key, name): name for name in aliases}
        canonical = self.identity.canonical()
        for space, entity in _PEOPLE.items():
            rows = self._restricted(connection, entity, "native_id, subject")
            mails = {"candidates": "email", "employees": "work_email"}.get(entity)
            if mails and _MAIL.match(text):
                rows = [
                    row[:2]
                    for row in self._restricted(
                        connection, entity, f"native_id, subject, {mails}"
                    )
                    if str(row[2] or "").strip().lower() == text.lower()
                ]
                found[space] = {str(native): str(name) for native, name in rows}
                continue
            found[space] = {
                str(native): str(name)
                for native, name in rows
                if native in aliases or name == text
            }
        # Without files of people an id is known from where it is used.
        for space, entity, column in (
            ("candidate", "applications", "candidate_id"),
            ("staff", "scorecards", "interviewer_id"),
        ):
            if found.get(space):
                continue
            for (name,) in self._raw(connection, entity, f"distinct {column}"):
                if name in pseudonyms:
                    native = pseudonyms[name]
                    found.setdefault(space, {})[native] = name
        for space, ids in found.items():
            for native in list(ids):
                for other, first in canonical.items():
                    if canonical.get(native, native) == first:
                        found[space][other] = ids[native]
                        found[space][first] = ids[native]
        return found

    def _aliases(self, text: str) -> set[str]:
        canonical = self.identity.canonical()
        first = canonical.get(text, text)
        return {first, text} | {n for n, other in canonical.items() if other == first}

    def _whole(
        self,
        connection: duckdb.DuckDBPyConnection,
        found: Mapping[str, Mapping[str, str]],
    ) -> Subject:
        """A person's ids in every space: through applications, and as an employee."""
        subject = Subject()
        people = {name for ids in found.values() for name in ids.values()}
        for space, ids in found.items():
            subject.add(space, list(ids))
        employees = self._raw(connection, "employees", "employee_id, application_id")
        joined = {
            row["employee_id"]: row["application_id"]
            for row in links(self.taken.proposals).to_pylist()
        }
        candidacies = self._raw(
            connection, "applications", "application_id, candidate_id"
        )
        applications = {
            application for application, candidate in candidacies if candidate in people
        }
        applications |= {
            application or joined.get(employee)
            for employee, application in employees
            if employee in people and (application or joined.get(employee))
        }
        candidates = {
            candidate
            for application, candidate in candidacies
            if application in applications
        }
        hired = {
            employee
            for employee, application in employees
            if (application or joined.get(employee)) in applications
        }
        for space, names in (("candidate", candidates), ("employee", hired)):
            entity = _PEOPLE[space]
            rows = self._restricted(connection, entity, "native_id, subject")
            subject.add(space, [str(n) for n, name in rows if name in names])
        subject.add("application", sorted(applications))
        for space, (entity, key) in _OF_APPLICATIONS.items():
            rows = self._raw(connection, entity, f"{key}, application_id")
            subject.add(space, [str(k) for k, a in rows if a in applications])
        subject.words = self._words(connection, subject)
        return subject

    def _words(
        self, connection: duckdb.DuckDBPyConnection, subject: Subject
    ) -> set[str]:
        """Names and addresses by which to look whether anything is left.

        A name that somebody else here bears as well tells nothing.
        """
        words: set[str] = set()
        others: set[str] = set()
        for space, entity in _PEOPLE.items():
            ids = subject.ids.get(space, set())
            columns = [c.name for c in ENTITIES[entity].columns if c.kind == "pii"]
            for native, *values in self._restricted(
                connection, entity, ", ".join(["native_id", *columns])
            ):
                found = {str(value) for value in values if value}
                if native in ids:
                    words |= found
                else:
                    others |= found
        return words - others

    def _raw(
        self, connection: duckdb.DuckDBPyConnection, entity: str, columns: str
    ) -> list[tuple[Any, ...]]:
        files = [str(path) for path in self.taken.raw_files(entity)]
        return _select(connection, files, columns)

    def _restricted(
        self, connection: duckdb.DuckDBPyConnection, entity: str, columns: str
    ) -> list[tuple[Any, ...]]:
        files = [
            str(path)
            for raw in self.taken.raw_files(entity)
            if (path := self.home.restricted / entity / raw.name).is_file()
        ]
        return _select(connection, files, columns)


def _select(
    connection: duckdb.DuckDBPyConnection, files: list[str], columns: str
) -> list[tuple[Any, ...]]:
    if not files:
        return []
    return connection.execute(
        f"select {columns} from read_parquet(?, union_by_name = true)", [files]
    ).fetchall()


@dataclass
class Certificate:
    """What an erasure did: counts and hashes, no name."""

    id: str
    erased_at: str
    by: str
    reason: str
    rows: Counter[str] = field(default_factory=Counter)
    rewritten: list[dict[str, str]] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            **self.__dict__,
            "rows": dict(sorted(self.rows.items())),
            "removed": dict(sorted(self.removed.items())),
            "verified": not self.left,
        }

    def write(self, home: Home) -> Path:
        """Keep it beside the ledger; return where."""
        path = home.ledger / "certificates" / f"{self.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.to_json(), indent=1, sort_keys=True) + "\n")
        return path


def read_requests(path: Path, reason: str) -> list[tuple[str, str]]:
    """Return people and reasons of a file of requests.

    Raises
    ------
    SettingsError
        If it cannot be read, or has no column `person`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise SettingsError(f"{path}: cannot be read: {type(error).__name__}") from None
    if any("person" not in row for row in rows) or not rows:
        raise SettingsError(f"{path}, line 1: a column named person is needed")
    return [
        (str(row["person"]).strip(), str(row.get("reason") or reason))
        for row in rows
        if str(row["person"] or "").strip()
    ]


def order(
    settings: Settings,
    taken: Ingest,
    person: str,
    *,
    reason: str,
    by: str,
    at: dt.datetime,
) -> tuple[Certificate, Subject]:
    """Note in the ledger that a person is to be erased; nothing is removed yet.

    Raises
    ------
    SettingsError
        If nobody is found, or a hold forbids it: that is noted, and from the next run
        on nothing is made of what is kept of them.
    """
    subject = Finder(settings, taken).find(person)
    erasures = Erasures(settings.home)
    digests = subject.digests(erasures.digest)
    about = {
        "at": at.isoformat(timespec="seconds"), "by": by, "reason": reason,
        "digests": digests,
    }  # fmt: skip
    hold = erasures.hold_on(digests)
    if hold:
        request = _request(digests)
        erasures.add("deferred", hold=hold["id"], request=request, **about)
        raise SettingsError(
            f"not erased: {hold['id']} holds this person ({hold['reason']}, by"
            f" {hold['by']}). The request is noted; from the next run on they are kept"
            " but left out of every table. Erase again once the hold is released."
        )
    name = erasures.add("erased", request=_request(digests), **about)
    return Certificate(name, str(about["at"]), by, reason), subject


def _request(digests: Sequence[str]) -> str:
    """A name for requests about one person, whatever else was delivered meanwhile."""
    people = [d for d in digests if d.partition("|")[0] in _PEOPLE]
    return hashlib.sha256("\n".join(people).encode()).hexdigest()[:16]


def unfinished(home: Home) -> list[Certificate]:
    """Return erasures of the ledger that a crash left without a certificate."""
    there = {path.stem for path in (home.ledger / "certificates").glob("*.json")}
    return [
        Certificate(entry["id"], entry["at"], entry["by"], entry["reason"])
        for entry in Erasures(home).ledger.entries()
        if entry["kind"] == "erased" and entry["id"] not in there
    ]


def purge(settings: Settings, certificate: Certificate, subject: Subject) -> None:
    """Take everybody in the ledger out of a home; safe to repeat after a crash.

    What can be made again from what is left (raw, restricted, quarantine, caches, the
    warehouse) is removed; the next run makes it.
    """
    home = settings.home
    folders = [home.inbox, home.landing]
    sources = {path.name for folder in folders for path in _folders(folder)}
    known = tuple(sorted(sources | set(settings.sources.sources)))
    erased = Erasures(home).erased(known)
    _purge_inbox(settings, erased, certificate)
    _purge_landing(settings, erased, certificate)
    for folder in (home.raw, home.quarantine, home.cache):
        certificate.removed[folder.name] += _remove_files(folder)
    for folder in _folders(home.restricted):
        if folder.name != "mirror":
            certificate.removed["restricted"] += _remove_files(folder)
    for path in sorted((home.restricted / "mirror").glob("*.sqlite")):
        certificate.rows["mirror"] += purge_mirror(path, path.stem, erased)
    for generation in _folders(home.generations):
        for name in (
            "warehouse.duckdb",
            "warehouse.duckdb.wal",
            "statistics",
            "inputs",
        ):
            certificate.removed["generations"] += _remove(generation / name)
    _purge_names(home, subject, erased, certificate)


def _purge_inbox(settings: Settings, erased: Erased, about: Certificate) -> None:
    for path in sorted(settings.home.inbox.rglob("*")):
        file = _arrived(path, path.parent.name)
        if file and _rewrite(settings, erased, file, path, about):
            about.rows["inbox"] += 1


def _purge_landing(settings: Settings, erased: Erased, about: Certificate) -> None:
    """Rewrite landed copies; the hash of the old bytes is noted as gone."""
    landing = settings.home.landing
    stones = landing / "tombstones.jsonl"
    for note in sorted(landing.glob("*/*/*/manifest.json")):
        manifest = read_note(note) or {}
        folder = note.parent
        name = str(manifest.get("name", "")).partition("/")[2]
        path = folder / name
        file = _arrived(path, str(manifest.get("source", "")))
        if not file or not path.is_file():
            continue
        path.chmod(0o600)
        before = str(manifest["sha256"])
        if not _rewrite(settings, erased, file, path, about):
            path.chmod(0o400)
            continue
        about.rows["landing"] += 1
        after = _sha256(path)
        path.chmod(0o400)
        target = folder.with_name(after[:16])
        if target.exists():
            shutil.rmtree(folder)
        else:
            manifest |= {"sha256": after, "bytes": path.stat().st_size}
            write_text(note, json.dumps(manifest, indent=1, sort_keys=True))
            folder.rename(target)
        with stones.open("a", encoding="utf-8") as written:
            line = {"gone": before, "instead": after, "certificate": about.id}
            written.write(json.dumps(line, sort_keys=True) + "\n")
        about.rewritten.append({"before": before, "after": after})
    for leftover in landing.glob("*/*/.*.tmp*"):
        leftover.unlink()
    (landing / "stamps.json").unlink(missing_ok=True)


def _rewrite(
    settings: Settings, erased: Erased, file: Arrived, path: Path, about: Certificate
) -> bool:
    """Rewrite one file in place; return whether it had to be."""
    packed = ".gz" if path.name.endswith(".gz") else ""
    aside = path.with_name(f".erasing.tmp{packed}")
    changed = erased.clean(
        path,
        aside,
        form=file.form,
        entity=file.entity,
        source=file.source,
        config=settings.sources.of(file.source),
    )
    if not changed:
        aside.unlink(missing_ok=True)
        return False
    about.rows[f"rows of {file.entity}"] += changed
    aside.replace(path)
    return True


def _arrived(path: Path, source: str) -> Arrived | None:
    if not path.is_file() or path.is_symlink() or path.name.startswith("."):
        return None
    plain = path.name.removesuffix(".gz")
    form, entity = FORMS.get(Path(plain).suffix), plain.split(".")[0]
    return Arrived(path, source, entity, form) if form and entity in ENTITIES else None


def purge_mirror(path: Path, source: str, erased: Erased) -> int:
    """Take out of a mirror the records of those erased; return how many."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma secure_delete = on")
        gone = [
            (stream, id_)
            for stream, id_, parent, body in connection.execute(
                "select stream, id, parent, body from records"
            )
            if names_erased(erased, source, stream, id_, parent, json.loads(body))
        ]
        connection.executemany("delete from records where stream = ? and id = ?", gone)
        connection.execute("pragma wal_checkpoint(truncate)")
        return len(gone)
    finally:
        connection.close()


_MIRROR_FIELDS = {
    "candidate_id": "candidate", "candidateid": "candidate", "contact": "candidate",
    "application_id": "application", "applicationid": "application",
    "opportunity_id": "application", "opportunityid": "application",
    "scorecard_id": "scorecard", "interview_id": "interview",
}  # fmt: skip
_MIRROR_STREAMS = {"candidates": "candidate", "applications": "application",
                   "opportunities": "application"}  # fmt: skip


def names_erased(
    erased: Erased,
    source: str,
    stream: str,
    id_: str,
    parent: str,
    body: Mapping[str, Any],
) -> bool:
    """Return whether a record of a service is about somebody erased."""
    space = _MIRROR_STREAMS.get(stream.split(".")[0])
    if space and erased.found(space, source, id_):
        return True
    if parent and erased.found("application", source, parent):
        return True
    for name, value in body.items():
        field_space = _MIRROR_FIELDS.get(name.lower())
        if field_space and erased.found(field_space, source, value):
            return True
        person = value.get("id") if isinstance(value, dict) else None
        if name == "candidate" and erased.found("candidate", source, person):
            return True
    return False


def _purge_names(
    home: Home, subject: Subject, erased: Erased, about: Certificate
) -> None:
    """Interviewers stand in the committee's tables by name; there they go as well."""
    staff = subject.ids.get("staff")
    if not staff:
        return
    key = load_key(home)
    instead = {
        pseudonym(key, native): erased.found("staff", "", native) or "erased"
        for native in staff
    }
    for path in sorted(home.generations.glob("*/published/committee/*.parquet")):
        if _replace_in(path, instead):
            about.rows["published tables"] += 1
            root = path.parents[2]
            manifest = read_note(root / "manifest.json")
            if manifest:
                manifest["files"][str(path.relative_to(root))] = _sha256(path)
                write_text(
                    root / "manifest.json",
                    json.dumps(manifest, indent=1, sort_keys=True) + "\n",
                )
    for path in sorted(home.quarters.rglob("*.parquet")):
        about.rows["published tables"] += _replace_in(path, instead)
    for generation in _folders(home.generations):
        about.removed["generations"] += _remove(generation / "sites" / "committee")


def _replace_in(path: Path, instead: Mapping[str, str]) -> bool:
    """Replace pseudonyms in a table and the name beside each; return whether any."""
    table = pq.read_table(path)
    if "interviewer_id" not in table.column_names:
        return False
    ids = table["interviewer_id"].to_pylist()
    if not set(ids) & set(instead):
        return False
    columns = {"interviewer_id": [instead.get(name, name) for name in ids]}
    if "interviewer_name" in table.column_names:
        columns["interviewer_name"] = [
            "erased" if id_ in instead else name
            for id_, name in zip(
                ids, table["interviewer_name"].to_pylist(), strict=True
            )
        ]
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table[name].type))
    aside = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(path)
    return True


def remains(home: Home, subject: Subject) -> list[str]:
    """Return the files in which a person's ids, names or addresses can still be found.

    Tables are searched value by value, other files byte by byte for what is long enough
    not to be found by chance. Held data are not looked at: they are kept on purpose.
    """
    natives = {native for ids in subject.ids.values() for native in ids}
    key = load_key(home)
    exact = natives | subject.words
    exact |= {pseudonym(key, native) for native in natives}
    # Ids stand alone in text; without the bounds I2 would be found in I20.
    words = sorted(re.escape(word.encode()) for word in exact if len(word) >= 8)
    needle = re.compile(rb"(?<![\w-])(?:" + b"|".join(words) + rb")(?![\w-])")
    found = []
    for path in sorted(home.root.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        if path.suffix == ".parquet":
            hit = _in_parquet(path, exact)
        elif path.suffix == ".duckdb":
            hit = _in_duckdb(path, exact)
        else:
            hit = bool(words and needle.search(path.read_bytes()))
        if hit:
            found.append(str(path.relative_to(home.root)))
    return found


def _in_duckdb(path: Path, exact: set[str]) -> bool:
    with connect(path, read_only=True) as connection:
        columns = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns()"
            " where data_type = 'VARCHAR' and not internal"
        ).fetchall()
        return any(
            connection.execute(
                f'select count(*) from "{schema}"."{table}"'
                f' where list_contains(?, "{column}")',
                [sorted(exact)],
            ).fetchall()[0][0]
            for schema, table, column in columns
        )


def _in_parquet(path: Path, exact: set[str]) -> bool:
    table = pq.read_table(path)
    return any(
        not exact.isdisjoint(str(value) for value in table[name].unique().to_pylist())
        for name in table.column_names
        if pa.types.is_string(table[name].type)
    )


def due(settings: Settings, taken: Ingest, *, as_of: dt.date) -> list[tuple[str, str]]:
    """Return candidates whose retention has run out: native id and why.

    The clock starts when the last application of a candidate has ended; for those who
    were hired, when they left. Nobody with an open application or a job is due.
    """
    months = settings.policy.retention_months
    if not months:
        return []
    finder = Finder(settings, taken)
    with connect() as connection:
        applications = finder._raw(
            connection,
            "applications",
            "application_id, candidate_id, job_id, status, closed_at",
        )
        jurisdictions = dict(finder._raw(connection, "jobs", "job_id, jurisdiction"))
        left = dict(finder._raw(connection, "employees", "application_id, left_on"))
        natives = {
            subject: native
            for native, subject in finder._restricted(
                connection, "candidates", "native_id, subject"
            )
        }
    latest: dict[str, tuple[dt.date | None, str]] = {}
    for application, candidate, job, status, closed_at in applications:
        ended = closed_at.date() if closed_at else None
        if status == "active":
            ended = None
        if status == "hired":
            ended = left.get(application)
        place = jurisdictions.get(job) or "default"
        before = latest.get(candidate)
        if before and (before[0] is None or (ended and before[0] >= ended)):
            continue
        latest[candidate] = (ended, place)
    found = []
    for candidate, (ended, place) in latest.items():
        kept = months.get(place, months.get("default"))
        if ended is None or kept is None or candidate not in natives:
            continue
        if _months_later(ended, kept) <= as_of:
            why = f"{kept} months after {ended} ({place})"
            found.append((natives[candidate], why))
    return sorted(found)


def _months_later(date: dt.date, months: int) -> dt.date:
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, min(date.day, last))


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir())


def _remove_files(folder: Path) -> int:
    n = sum(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return n


def _remove(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return _remove_files(path)
    if path.exists():
        path.unlink()
        return 1
    return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
