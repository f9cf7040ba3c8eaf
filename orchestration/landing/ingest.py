"""Inbox to raw: one immutable Parquet file per landed file, nothing lost."""

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.contract import ENTITIES, LINEAGE, Entity
from orchestration.landing.erasure import Erased, Erasures
from orchestration.landing.identity import (
    copy,
    declare_pseudonyms,
    derived,
    ledger_digest,
    load_key,
    write_private,
    write_restricted,
)
from orchestration.landing.parse import (
    PARSER_VERSION,
    Parsed,
    Problem,
    RefusedFileError,
    parse,
    workbench,
)
from orchestration.landing.people import Proposal, load_identity, proposals
from orchestration.landing.reader import Reader
from orchestration.landing.store import (
    Arrived,
    Landed,
    arrivals,
    land,
    read_note,
    removed_columns,
    stamp,
    undated,
    write_text,
)
from orchestration.settings import Home, Sources

_QUARANTINE: dict[str, pa.DataType] = {
    "source": pa.string(),
    "entity": pa.string(),
    "file": pa.string(),
    "line": pa.int64(),
    "column_name": pa.string(),
    "code": pa.string(),
}
QUARANTINE_SCHEMA = pa.schema(_QUARANTINE)
_FILES: dict[str, pa.DataType] = {
    "source": pa.string(),
    "entity": pa.string(),
    "file": pa.string(),
    "rows_in": pa.int64(),
    "accepted": pa.int64(),
    "duplicates": pa.int64(),
    "quarantined": pa.int64(),
    "last_event_on": pa.date32(),
    "extracted_on": pa.date32(),
}
FILES_SCHEMA = pa.schema(_FILES)
MESSAGES = {
    "ragged_row": "the row has more or fewer fields than the header",
    "malformed_json": "the line is no JSON object",
    "repeated_key": "a key occurs twice in the line",
    "missing_value": "a required value is missing",
    "nested_value": "an object or a list where a value was expected",
    "bad_timestamp": "not a timestamp in ISO-8601",
    "bad_date": "not a date in ISO form",
    "bad_number": "not a number",
    "bad_boolean": "not one of true, false, yes, no, 1, 0",
    "unknown_value": "not one of the values the contract allows",
    "off_scale": "the number lies outside its scale or range",
    "implausible_date": "outside 1970 to 2100",
    "too_long": "the field is longer than 2 MB",
    "control_character": "the field holds a NUL character",
}


@dataclass(frozen=True)
class RawFile:
    """One landed file as raw."""

    source: str
    entity: str
    name: str
    sha256: str
    path: Path
    rows_in: int
    accepted: int
    duplicates: int
    quarantined: int
    last_event_on: dt.date | None
    extracted_on: dt.date | None
    warnings: tuple[str, ...]
    columns: tuple[str, ...]
    from_cache: bool

    @property
    def refused(self) -> Path:
        """The quarantined rows of the file: code, line and column, no values."""
        return self.path.with_suffix(".refused.parquet")


@dataclass(frozen=True)
class Ingest:
    """What an inbox came to."""

    home: Home
    files: tuple[RawFile, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @cached_property
    def paths(self) -> dict[str, list[Path]]:
        """Raw files by entity; an empty typed one where nothing was delivered."""
        return {
            name: [file.path for file in self.files if file.entity == name]
            or [_empty(self.home, entity)]
            for name, entity in ENTITIES.items()
        }

    @cached_property
    def quarantined(self) -> Counter[tuple[str, str, str]]:
        """Rows refused at landing by source, entity and code."""
        rows = self.quarantine_table().to_pylist()
        return Counter((row["source"], row["entity"], row["code"]) for row in rows)

    def raw_files(self, entity: str) -> list[Path]:
        """Return the raw files of an entity that were delivered."""
        return [file.path for file in self.files if file.entity == entity]

    @cached_property
    def proposals(self) -> list[Proposal]:
        """Matches of employees who were delivered without an application."""
        found = {
            entity: self.raw_files(entity)
            for entity in ("employees", "candidates", "applications", "offers")
        }
        return proposals(self.home, found, digest=ledger_digest(self.home))

    def files_table(self) -> pa.Table:
        """Return one row per raw file with its row counts."""
        rows = [{**asdict(file), "file": file.name} for file in self.files]
        return pa.Table.from_pylist(
            [{name: row[name] for name in FILES_SCHEMA.names} for row in rows],
            schema=FILES_SCHEMA,
        )

    def quarantine_table(self) -> pa.Table:
        """Return one row per row refused at landing: code and place, no value."""
        tables = [pq.read_table(f.refused) for f in self.files if f.quarantined]
        return pa.concat_tables(tables) if tables else QUARANTINE_SCHEMA.empty_table()


@dataclass
class CheckReport:
    """What `calibrant check` found."""

    files: list[RawFile]
    problems: list[Problem]
    warnings: list[str]
    quarantined: Counter[tuple[str, str, str]]
    proposals: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "files": [
                {
                    "file": file.name,
                    "rows_in": file.rows_in,
                    "accepted": file.accepted,
                    "duplicates": file.duplicates,
                    "quarantined": file.quarantined,
                }
                for file in self.files
            ],
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": self.warnings,
            "quarantined": [
                {"source": s, "entity": e, "code": c, "rows": n}
                for (s, e, c), n in sorted(self.quarantined.items())
            ],
            "proposals": self.proposals,
        }

    def to_text(self) -> str:
        """Return the report for a person."""
        import yaml

        lines = [
            f"{file.name:<44}{file.rows_in:>10,} rows  {file.accepted:>10,} accepted"
            f"  {file.duplicates:>6,} duplicates  {file.quarantined:>6,} quarantined"
            for file in self.files
        ]
        lines += [
            f"  {source}/{entity}: {n:,} rows {code}: {MESSAGES.get(code, code)}"
            for (source, entity, code), n in sorted(self.quarantined.items())
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"PROBLEM  {problem}" for problem in self.problems]
        if self.proposals:
            lines += ["", "Proposed for sources.yaml (look it over, then paste):", ""]
            lines.append(
                yaml.safe_dump({"sources": self.proposals}, sort_keys=False).rstrip()
            )
        if not self.problems:
            lines += ["", "The inbox can be run: calibrant run"]
        return "\n".join(lines)


def ingest(
    home: Home,
    sources: Sources,
    *,
    progress: Callable[[str], None],
    inbox: Path | None = None,
) -> Ingest:
    """Land what the inbox holds, parse what is new, and return all of it as raw.

    Running it again on the same inbox changes nothing and reads only file stamps.
    A file that cannot be read is a problem; its rows are not in the result.
    """
    taken, problems, warnings = arrivals(inbox or home.inbox)
    known = tuple(sorted({file.source for file in taken} | set(sources.sources)))
    stamps_path = home.landing / "stamps.json"
    hashes: dict[str, str] = read_note(stamps_path) or {}
    seen: dict[str, str] = {}
    files: list[RawFile] = []
    with _bench(home, sources, known) as bench:
        for file in taken:
            try:
                landed = land(home, file, hashes, clean=bench.cleaner(file))
                seen[stamp(file.path)] = landed.sha256
                raw = _raw_file(bench, landed)
            except RefusedFileError as error:
                problems.append(error.problem)
                continue
            files.append(raw)
            if not raw.from_cache:
                progress(f"{raw.name}: {raw.rows_in:,} rows")
    if seen != hashes and home.landing.is_dir():
        write_text(stamps_path, json.dumps(seen, indent=0, sort_keys=True))
    problems += _without_columns(home, files, sources, note=not problems)
    warnings += [warning for file in files for warning in file.warnings]
    warnings += _undeclared_scales(files, sources)
    return Ingest(home, tuple(files), tuple(problems), tuple(warnings))


def _without_columns(
    home: Home, files: Sequence[RawFile], sources: Sources, *, note: bool
) -> list[Problem]:
    """Columns of the contract that a file had when it was last taken and has no more.

    A file that is delivered anew under another date is the same file. What a connector
    delivers is ours to change.
    """
    path = home.landing / "columns.json"
    before: dict[str, list[str]] = read_note(path) or {}
    newest: dict[str, RawFile] = {}
    for file in sorted(files, key=lambda f: (f.extracted_on or dt.date.min, f.name)):
        newest[undated(file.name)] = file
    problems = []
    for name, file in newest.items():
        config = sources.of(file.source)
        known = {column.name for column in ENTITIES[file.entity].columns}
        gone = set(before.get(name, ())) & known - set(file.columns)
        gone -= {
            column.removeprefix(f"{file.entity}.")
            for column in config.dropped_columns
            if column.startswith(f"{file.entity}.")
        }
        if gone and not config.connector:
            new = [column for column in file.columns if column not in known]
            problems.append(removed_columns(file.name, file.entity, sorted(gone), new))
    if note and not problems and home.landing.is_dir():
        now = {name: list(file.columns) for name, file in newest.items()}
        if now != before:
            write_text(path, json.dumps(now, indent=0, sort_keys=True))
    return problems


def check(home: Home, sources: Sources) -> CheckReport:
    """Validate an inbox without writing anything into the home.

    Proposes stage, round and scale mappings from what the files hold.
    """
    from orchestration.landing.mappings import mappings

    with tempfile.TemporaryDirectory(prefix="calibrant-check-") as folder:
        before = home.landing / "columns.json"
        if before.is_file():
            (Path(folder) / "landing").mkdir()
            shutil.copyfile(before, Path(folder) / "landing" / before.name)
        found = ingest(
            Home(Path(folder)), sources, progress=lambda _: None, inbox=home.inbox
        )
        return CheckReport(
            files=list(found.files),
            problems=list(found.problems),
            warnings=list(found.warnings),
            quarantined=found.quarantined,
            proposals=mappings(found, sources),
        )


@dataclass(frozen=True)
class _Bench:
    """What every file of one inbox is parsed with."""

    home: Home
    sources: Sources
    known: tuple[str, ...]
    key: bytes
    aliases: Mapping[str, str]
    erased: Erased
    restricted: Erased
    connection: duckdb.DuckDBPyConnection

    def cleaner(
        self, file: Arrived, of: Erased | None = None
    ) -> Callable[[Path, Path], int] | None:
        """What writes a file without the rows of those erased; None where nobody is."""
        erased = self.erased if of is None else of
        if not erased:
            return None
        return lambda path, target: erased.clean(
            path,
            target,
            form=file.form,
            entity=file.entity,
            source=file.source,
            config=self.sources.of(file.source),
        )


@contextmanager
def _bench(home: Home, sources: Sources, known: tuple[str, ...]) -> Iterator[_Bench]:
    """One connection for all files: opening one costs more than a small file."""
    with (
        tempfile.TemporaryDirectory(prefix="calibrant-") as folder,
        workbench(Path(folder), home=home.root) as connection,
    ):
        key = load_key(home) if known else b""
        aliases = load_identity(home).canonical()
        declare_pseudonyms(connection, key, aliases)
        ledger = Erasures(home)
        yield _Bench(
            home, sources, known, key, aliases, ledger.erased(known),
            ledger.restricted(known), connection,
        )  # fmt: skip


def _raw_file(bench: _Bench, landed: Landed) -> RawFile:
    """The raw file of a landed one; parsed only where it has not been before."""
    file = landed.arrived
    reading = json.dumps(
        [
            bench.sources.of(file.source).reading(), bench.known, file.name,
            PARSER_VERSION, derived(bench.key, "cache"), bench.aliases,
            sorted(bench.restricted.digests),
        ],
        sort_keys=True, default=str,
    )  # fmt: skip
    parser = hashlib.sha256(reading.encode()).hexdigest()[:8]
    folder = bench.home.raw / file.source / file.entity
    path = folder / f"{landed.sha256[:16]}-{parser}.parquet"
    about_path = path.with_suffix(".json")
    about = read_note(about_path)
    from_cache = about is not None and path.is_file()
    if about is None or not from_cache:
        parsed = _write_raw(bench, landed, path)
        about = {**asdict(parsed), "last_event_on": _text(parsed.last_event_on)}
        # Written last: a raw file without it is a leftover and made again.
        write_text(about_path, json.dumps(about, sort_keys=True))
    last = about["last_event_on"]
    return RawFile(
        source=file.source,
        entity=file.entity,
        name=file.name,
        sha256=landed.sha256,
        path=path,
        rows_in=about["rows_in"],
        accepted=about["accepted"],
        duplicates=about["duplicates"],
        quarantined=about["quarantined"],
        last_event_on=dt.date.fromisoformat(last) if last else None,
        extracted_on=file.extracted_on,
        warnings=tuple(about["warnings"]),
        columns=tuple(about.get("columns", ())),
        from_cache=from_cache,
    )


def _write_raw(bench: _Bench, landed: Landed, path: Path) -> Parsed:
    """Parse one landed file and write raw, restricted and quarantine."""
    file, connection = landed.arrived, bench.connection
    entity = ENTITIES[file.entity]
    source_path = landed.path
    # Those whose erasure a hold puts off are kept, but nothing is made of them.
    aside = path.with_name(f".{landed.path.name}")
    unheld = bench.cleaner(file, bench.restricted)
    path.parent.mkdir(parents=True, exist_ok=True)
    if unheld and unheld(landed.path, aside):
        source_path = aside
    try:
        parsed = parse(
            source_path,
            name=file.name,
            form=file.form,
            entity=entity,
            source=file.source,
            known_sources=bench.known,
            config=bench.sources.of(file.source),
            extracted_on=file.extracted_on,
            salt=derived(bench.key, "content"),
            connection=connection,
        )
        _write_typed(connection, entity, path, accepted=parsed.accepted)
        write_restricted(
            connection, entity, bench.home.restricted / entity.name / path.name
        )
        if parsed.quarantined:
            _write_refused(connection, bench.home, file.source, entity, file.name, path)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException):
        raise Reader(
            landed.path, file.name, file.form, entity, bench.sources.of(file.source)
        ).no_room() from None
    finally:
        aside.unlink(missing_ok=True)
        for relation in ("judged", "refused", "repeated"):
            connection.execute(f"drop table if exists {relation} cascade")
    return parsed


def _write_typed(
    connection: duckdb.DuckDBPyConnection, entity: Entity, path: Path, *, accepted: int
) -> None:
    """Write `typed` in the schema of raw, with people as pseudonyms."""
    columns = [
        f'pseudonym("{c.name}") as "{c.name}"' if c.kind == "person" else f'"{c.name}"'
        for c in entity.raw_columns
    ]
    # Of two rows of one person, that under the id which counts is the one that counts.
    people = [c.name for c in entity.raw_columns if c.is_key and c.kind == "person"]
    is_alias = " or ".join(f'canonical("{name}") <> "{name}"' for name in people)
    lineage = [*LINEAGE][:-1]
    temporary = path.with_name(f".{path.name}.tmp")
    # Two threads read blocks in any order; the bytes of raw do not depend on it.
    copy(
        connection,
        f"select {', '.join([*columns, *lineage])}, {is_alias or 'false'} as _is_alias"
        " from typed order by _line",
        temporary,
    )
    about = pq.read_metadata(temporary)
    if about.num_rows != accepted:
        raise AssertionError(
            f"{path}: {accepted} rows accepted, {about.num_rows} written"
        )
    temporary.replace(path)


def _write_refused(
    connection: duckdb.DuckDBPyConnection,
    home: Home,
    source: str,
    entity: Entity,
    name: str,
    path: Path,
) -> None:
    """Places and codes go to quarantine; the rows themselves to `restricted/`."""
    refused = connection.sql(
        "select line, column_name, code from refused order by line"
    ).to_arrow_table()
    n = refused.num_rows
    places = pa.table(
        {
            "source": pa.array([source] * n),
            "entity": pa.array([entity.name] * n),
            "file": pa.array([name] * n),
            "line": refused["line"],
            "column_name": refused["column_name"],
            "code": refused["code"],
        }
    ).cast(QUARANTINE_SCHEMA)
    pq.write_table(places, path.with_suffix(".refused.parquet"), compression="zstd")
    public = home.quarantine / source / entity.name / path.name
    public.parent.mkdir(parents=True, exist_ok=True)
    messages = [
        MESSAGES.get(str(code), str(code)) for code in places["code"].to_pylist()
    ]
    with_messages = places.append_column("message", pa.array(messages, pa.string()))
    pq.write_table(with_messages, public, compression="zstd")
    write_private(
        connection,
        "select line, column_name, code, row_text from refused order by line",
        home.restricted / "quarantine" / path.name,
    )


def _empty(home: Home, entity: Entity) -> Path:
    """A typed Parquet file without rows."""
    path = home.raw / "empty" / f"{entity.name}-{PARSER_VERSION}.parquet"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        pq.write_table(entity.raw_schema.empty_table(), temporary)
        temporary.replace(path)
    return path


def _undeclared_scales(files: Sequence[RawFile], sources: Sources) -> list[str]:
    """Sources whose ratings have no declared scale: integers are taken as they are."""
    return [
        f"{source}: no scale is declared in sources.yaml; plain numbers are taken as"
        " they stand unless a scorecard names a rubric"
        for source in sorted({f.source for f in files if f.entity == "ratings"})
        if not sources.of(source).scale
    ]


def _text(date: dt.date | None) -> str | None:
    return date.isoformat() if date else None
