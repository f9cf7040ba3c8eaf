"""Erasure: whose rows never come in again, and how they are taken out of what is here.

The ledger holds keyed digests of ids, so it can recognise a person who is delivered
again without naming anyone. Rows about a candidate or an employee are dropped; where
somebody erased has acted on others (as interviewer, reviewer, manager), the others'
rows stay and the actor becomes a token that leads nowhere.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from orchestration.landing.contract import ENTITIES
from orchestration.landing.identity import ledger_digest
from orchestration.ledger import Ledger
from orchestration.settings import Home, SourceConfig

pc: Any = pyarrow.compute
# Whom or what a column names; the same number means different people in different
# spaces of one service.
SUBJECTS = {
    "candidate_id": "candidate",
    "employee_id": "employee",
    "application_id": "application",
    "scorecard_id": "scorecard",
    "interview_id": "interview",
    "debrief_id": "debrief",
    "submission_id": "submission",
}
ACTORS = {
    "interviewer_id": "staff",
    "person_id": "staff",
    "recruiter_id": "staff",
    "decided_by": "staff",
    "facilitator_id": "staff",
    "grader_id": "staff",
    "reviewer_id": "employee",
    "manager_id": "employee",
}
# The opening stays when who filled it is erased.
_LOOSENED = {("openings", "application_id")}
PREFIX = "erased-"


@dataclass(frozen=True)
class Erased:
    """Whose rows are taken out: digests of ids, by space.

    Attributes
    ----------
    digests : frozenset of str
        `space|digest`.
    digest : callable
        Native id to its digest.
    sources : tuple of str
        Sources whose prefix an id may carry.
    """

    digests: frozenset[str]
    digest: Callable[[str], str]
    sources: tuple[str, ...]
    _known: dict[tuple[str, str], str | None] = field(
        default_factory=dict, compare=False, repr=False
    )

    def __bool__(self) -> bool:
        """Whether anybody is erased."""
        return bool(self.digests)

    def found(self, space: str, source: str, value: object) -> str | None:
        """Return the token of an id that is erased; None for every other one."""
        text = str(value).strip() if value is not None else ""
        if not text:
            return None
        prefix = text.partition(":")[0]
        native = text if ":" in text and prefix in self.sources else f"{source}:{text}"
        place = (space, native)
        if place not in self._known:
            digest = self.digest(native)
            is_erased = f"{space}|{digest}" in self.digests
            self._known[place] = PREFIX + digest[2:14] if is_erased else None
        return self._known[place]

    def clean(
        self, path: Path, target: Path, *, form: str, entity: str, source: str,
        config: SourceConfig,
    ) -> int:  # fmt: skip
        """Write a file without the rows of those erased; return how many changed.

        What is not touched keeps its bytes. With nothing to do, `target` is not made.
        """
        judge = _Judge(self, entity, source)
        if form == "parquet":
            return judge.parquet(path, target)
        if _read_as_text(path, config, judge.counted(form, config)) == 0:
            return 0
        with _text(target, config, "w", packed=path.name.endswith(".gz")) as written:
            return _read_as_text(path, config, judge.copied(form, config, written))


class _Judge:
    """What becomes of the rows of one file."""

    def __init__(self, erased: Erased, entity: str, source: str) -> None:
        self.erased, self.entity, self.source = erased, entity, source
        self.restricted = {
            column.name
            for column in (ENTITIES[entity].columns if entity in ENTITIES else ())
            if column.is_restricted
        }

    def row(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The columns of a row that change; None where the row is dropped."""
        changes: dict[str, Any] = {}
        for name, value in values.items():
            if name in SUBJECTS and self._found(SUBJECTS[name], value):
                if (self.entity, name) not in _LOOSENED:
                    return None
                changes[name] = ""
            elif name in ACTORS:
                token = self._found(ACTORS[name], value)
                if token:
                    changes[name] = token
                    if self.entity == "interviewers":
                        others = set(values) & (self.restricted | {"expertise"})
                        changes |= dict.fromkeys(others, "")
        return changes

    def _found(self, space: str, value: object) -> str | None:
        return self.erased.found(space, self.source, value)

    def broken(self, text: str) -> bool:
        """Whether what is no row names somebody erased."""
        words = text.replace('"', " ").replace(",", " ").replace(";", " ").split()
        return any(
            self._found(space, word)
            for word in words
            for space in {*SUBJECTS.values(), *ACTORS.values()}
        )

    def parquet(self, path: Path, target: Path) -> int:
        table = pq.read_table(path)
        names = {name.lower(): name for name in table.column_names}
        keep = pa.array([True] * table.num_rows)
        changed = 0
        for lower, space in {**SUBJECTS, **ACTORS}.items():
            if lower not in names or pa.types.is_nested(table[names[lower]].type):
                continue
            column = table[names[lower]].cast(pa.string())
            distinct = column.unique().to_pylist()
            tokens = {
                value: token
                for value in distinct
                if (token := self._found(space, value)) is not None
            }
            if not tokens:
                continue
            hit = pc.is_in(column, value_set=pa.array(list(tokens)))
            if lower in SUBJECTS and (self.entity, lower) not in _LOOSENED:
                keep = pc.and_(keep, pc.invert(hit))
                continue
            changed += pc.sum(hit).as_py()
            values = [
                (tokens[v] if lower in ACTORS else None) if v in tokens else v
                for v in column.to_pylist()
            ]
            place = table.column_names.index(names[lower])
            table = table.set_column(place, names[lower], pa.array(values, pa.string()))
            if self.entity == "interviewers":
                table = self._blanked(table, names, hit)
        dropped = table.num_rows - pc.sum(keep).as_py() if table.num_rows else 0
        if dropped + changed:
            pq.write_table(table.filter(keep), target, compression="zstd")
        return int(dropped + changed)

    def _blanked(self, table: pa.Table, names: Mapping[str, str], hit: Any) -> pa.Table:
        """The names of interviewers who are erased are gone as well."""
        for lower in (self.restricted | {"expertise"}) & set(names):
            place = table.column_names.index(names[lower])
            column = table[names[lower]]
            empty = pa.scalar(None, column.type)
            table = table.set_column(
                place, names[lower], pc.if_else(hit, empty, column)
            )
        return table

    def counted(self, form: str, config: SourceConfig) -> Callable[[IO[str]], int]:
        """What counts the rows of a text that would change."""
        return lambda file: sum(
            kept != raw for raw, kept in self._records(file, form, config)
        )

    def copied(
        self, form: str, config: SourceConfig, written: IO[str]
    ) -> Callable[[IO[str]], int]:
        """What copies a text without the rows that are dropped."""

        def copy(file: IO[str]) -> int:
            changed = 0
            for raw, kept in self._records(file, form, config):
                changed += kept != raw
                written.write(kept or "")
            return changed

        return copy

    def _records(
        self, file: IO[str], form: str, config: SourceConfig
    ) -> Iterator[tuple[str, str | None]]:
        """Each record as it stands, and as it is to be (None: dropped)."""
        if form == "jsonl":
            for line in file:
                yield line, self._json(line)
            return
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in file:
                taken.append(line)
                yield line

        reader = csv.reader(lines(), delimiter=config.delimiter)
        header: list[str] | None = None
        while True:
            try:
                fields = next(reader, None)
            except csv.Error:
                fields = []
            if fields is None:
                break
            raw = "".join(taken)
            taken.clear()
            if header is None:
                header = [name.strip().lstrip("\ufeff").lower() for name in fields]
                yield raw, raw
            else:
                yield raw, self._csv(raw, fields, header, config)

    def _csv(
        self, raw: str, fields: list[str], header: list[str], config: SourceConfig
    ) -> str | None:
        if len(fields) != len(header):
            return None if self.broken(raw) else raw
        changes = self.row(dict(zip(header, fields, strict=True)))
        if changes is None:
            return None
        if not changes:
            return raw
        buffer = io.StringIO()
        ending = raw[len(raw.rstrip("\r\n")) :]
        writer = csv.writer(buffer, delimiter=config.delimiter, lineterminator=ending)
        pairs = zip(header, fields, strict=True)
        writer.writerow([changes.get(name, value) for name, value in pairs])
        return buffer.getvalue()

    def _json(self, line: str) -> str | None:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            return None if self.broken(line) else line
        changes = self.row({str(name).lower(): v for name, v in content.items()})
        if changes is None:
            return None
        if not changes:
            return line
        ending = line[len(line.rstrip("\r\n")) :]
        kept = {name: changes.get(name.lower(), v) for name, v in content.items()}
        return json.dumps(kept, ensure_ascii=False) + ending


def _read_as_text(
    path: Path, config: SourceConfig, work: Callable[[IO[str]], int]
) -> int:
    """What comes of a text file; 0 where it is no text in the declared encoding.

    Landing refuses such a file: nothing of it goes any further.
    """
    csv.field_size_limit(1 << 30)
    try:
        with _text(path, config, "r", packed=path.name.endswith(".gz")) as file:
            return work(file)
    except (UnicodeError, EOFError, gzip.BadGzipFile):
        return 0


@contextmanager
def _text(
    path: Path, config: SourceConfig, mode: str, *, packed: bool
) -> Iterator[IO[str]]:
    """A text file, packed or not; packed again, the same rows are the same bytes."""
    with ExitStack() as stack:
        raw: Any = stack.enter_context(path.open(mode + "b"))
        if packed:
            raw = stack.enter_context(
                gzip.GzipFile("", mode + "b", fileobj=raw, mtime=0)
            )
        text = io.TextIOWrapper(raw, encoding=config.encoding, newline="")
        yield text
        text.flush()
        text.detach()


# -- the ledger -----------------------------------------------------------------------


class Erasures:
    """The ledger of erasures and holds of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.ledger = Ledger(home.ledger / "erasures.jsonl")

    @cached_property
    def digest(self) -> Callable[[str], str]:
        """What turns a native id into what the ledger holds."""
        return ledger_digest(self.home)

    def erased(self, sources: Sequence[str]) -> Erased:
        """Return whose rows never come in again."""
        return self._of("erased", sources)

    def restricted(self, sources: Sequence[str]) -> Erased:
        """Return whose erasure waits for the end of a hold: kept, but not processed."""
        entries = self.ledger.entries()
        released = {e["hold"] for e in entries if e["kind"] == "released"}
        done = {e.get("request") for e in entries if e["kind"] == "erased"}
        waiting = [
            e
            for e in entries
            if e["kind"] == "deferred"
            and e["hold"] not in released
            and e["request"] not in done
        ]
        digests = frozenset(d for entry in waiting for d in entry["digests"])
        return Erased(digests, self.digest if digests else str, tuple(sources))

    def _of(self, kind: str, sources: Sequence[str]) -> Erased:
        entries = self.ledger.entries()
        digests = frozenset(
            d for entry in entries if entry["kind"] == kind for d in entry["digests"]
        )
        return Erased(digests, self.digest if digests else str, tuple(sources))

    def holds(self) -> list[dict[str, Any]]:
        """Return the holds in force."""
        entries = self.ledger.entries()
        released = {e["hold"] for e in entries if e["kind"] == "released"}
        return [e for e in entries if e["kind"] == "held" and e["id"] not in released]

    def hold_on(self, digests: Sequence[str]) -> dict[str, Any] | None:
        """Return a hold in force that touches any of the digests."""
        wanted = set(digests)
        return next((h for h in self.holds() if wanted & set(h["digests"])), None)

    def add(self, kind: str, **about: Any) -> str:
        """Add an entry; return its id."""
        number = len(self.ledger.entries()) + 1
        name = f"{kind}-{number:05}"
        self.ledger.append({"id": name, "kind": kind, **about})
        return name
