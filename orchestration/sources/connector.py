"""A service to files of the landing contract: read into a mirror, then translated.

Reading is the connector's; translating is one SQL file per service, over one relation
per stream, so an archive or a synced copy of the same service is another reader of the
same relations and shares its translation.
"""

import datetime as dt
import importlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.landing.contract import ENTITIES
from orchestration.landing.erasure import Erased, Erasures
from orchestration.landing.purge import names_erased
from orchestration.settings import ConnectorConfig, Home, Settings, SourceConfig
from orchestration.sources import SourceError
from orchestration.sources.mirror import Mirror, Record
from orchestration.warehouse import connect

SQL = Path(__file__).with_name("sql")
_KINDS = {
    "greenhouse": "orchestration.sources.greenhouse:Greenhouse",
    "greenhouse_archive": "orchestration.sources.greenhouse:GreenhouseArchive",
    "lever": "orchestration.sources.lever:Lever",
    "ashby": "orchestration.sources.ashby:Ashby",
    "fivetran_greenhouse": "orchestration.sources.fivetran:FivetranGreenhouse",
    "fivetran_lever": "orchestration.sources.fivetran:FivetranLever",
    "reviews": "orchestration.sources.reviews:Reviews",
}
_SECTION = re.compile(r"^-- entity: (\w+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Stream:
    """One list of a service.

    Attributes
    ----------
    name : str
        The service's own name for it; the relation of the translation.
    fields : tuple of str
        Top-level fields that are kept; `name{}` is kept as JSON.
    id, version : str
        Fields that tell records, and versions of one, apart; version "" for none.
    """

    name: str
    fields: tuple[str, ...]
    id: str = "id"
    version: str = "updated_at"

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the kept fields."""
        return tuple(name.removesuffix("{}") for name in self.fields)


@dataclass(frozen=True)
class Access:
    """What credentials can see of one resource."""

    resource: str
    level: Literal["ok", "warning", "fault"]
    found: str
    cure: str = ""


@dataclass
class SyncReport:
    """What one sync came to.

    Attributes
    ----------
    records, changed, gone : mapping of str to int
        Records per stream after the sync, and how many are new or changed, or are no
        longer there, against the sync before.
    files : list of Path
        Files of the inbox that it wrote or rewrote.
    notes : list of str
        What a person should know: a refused stream, a fall-back to a full read.
    """

    source: str
    is_full: bool
    records: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    entities: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_requests: int = 0
    n_repeated: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {**self.__dict__, "files": [str(file) for file in self.files]}

    def to_text(self) -> str:
        """Return the report for a person."""
        kind = "full" if self.is_full else "incremental"
        lines = [
            f"{self.source}: {kind} sync, {self.n_requests:,} requests"
            f" ({self.n_repeated:,} repeated) in {self.seconds:.0f} s;"
            f" {len(self.files)} files changed"
        ]
        lines += [
            f"  {name:<24}{n:>10,} rows" for name, n in self.entities.items() if n
        ]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class Connector:
    """What reads one service.

    A subclass names its `streams` and its `translation`, and implements `read` (bring
    the mirror up to date) and `check` (what the credentials can see). A reader of files
    or of a database has no use for the mirror and implements `relations` instead.
    """

    streams: ClassVar[tuple[Stream, ...]] = ()
    translation: ClassVar[str] = ""

    def __init__(
        self,
        name: str,
        source: SourceConfig,
        *,
        sleep: Callable[[float], None] = time.sleep,
        accept_deletions: bool = False,
        maximum_shrinkage: float = 0.2,
    ) -> None:
        if source.connector is None:
            raise SourceError(f"{name}: sources.yaml declares no connector for it")
        self.accept_deletions = accept_deletions
        self.maximum_shrinkage = maximum_shrinkage
        self.name = name
        self.source = source
        self.config: ConnectorConfig = source.connector
        self.sleep = sleep
        self.report = SyncReport(name, is_full=False)

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Bring the mirror up to date.

        Whatever it was doing when it was killed, another call goes on from there.

        Raises
        ------
        SourceError
            If the service cannot be read; what was read so far is kept.
        """
        raise NotImplementedError

    def check(self) -> list[Access]:
        """Return what the credentials can and cannot see."""
        raise NotImplementedError

    def open_pass(
        self,
        mirror: Mirror,
        stream: str,
        *,
        full: bool,
        served_at: dt.datetime,
        has_filter: bool = True,
    ) -> dict[str, Any]:
        """Return a stream's place with a `running` pass: a killed one, or a new one.

        `running` holds `number` (for `seen`), `is_full`, `since` (ISO time from which
        an incremental pass reads, None for a full one), `started_at` and `cursor` (None
        at the beginning; the connector sets it with each page).

        Parameters
        ----------
        served_at : datetime
            The server's clock: it becomes the watermark when the pass has ended.
        has_filter : bool
            Whether the list can be asked for what changed; otherwise all is read.
        """
        place = mirror.place(stream)
        running = place.get("running")
        if running and (running["is_full"] or not full):
            return place
        last = place.get("full_at")
        age = served_at - dt.datetime.fromisoformat(last) if last else None
        is_due = age is None or age >= dt.timedelta(days=self.config.full_every_days)
        is_full = full or is_due or not has_filter
        since = None
        if not is_full:
            overlap = dt.timedelta(minutes=self.config.lookback_minutes)
            since = dt.datetime.fromisoformat(place["watermark"]) - overlap
        return {
            **place,
            "running": {
                "number": place.get("number", 0) + 1,
                "is_full": is_full,
                "since": since.isoformat() if since else None,
                "started_at": served_at.isoformat(),
                "cursor": None,
            },
        }

    def close_pass(self, mirror: Mirror, stream: str, place: Mapping[str, Any]) -> None:
        """Note that a pass has ended; a full one drops what it has not seen.

        Raises
        ------
        SourceError
            If a full pass lost more of the stream than deletions explain: a scope that
            was taken away looks like everything deleted.
        """
        running = place["running"]
        ended = {name: value for name, value in place.items() if name != "running"}
        ended |= {"number": running["number"], "watermark": running["started_at"]}
        if not running["is_full"]:
            mirror.finish(stream, place=ended)
            return
        found = mirror.unseen(stream, running["number"])
        most = max(self.maximum_shrinkage * found.before, 10)
        if found.gone > most and not self.accept_deletions:
            # Another sync reads in full again: the permission may be back by then.
            anew = {name: value for name, value in ended.items() if name != "full_at"}
            mirror.finish(stream, place=anew)
            raise SourceError(
                f"{self.name}: {stream} shrank by {found.gone:,} of {found.before:,}"
                " records in a full read. A permission that was taken away looks like"
                f" this: run `calibrant sources check {self.name}`. If they were"
                f" deleted, run `calibrant sync {self.name} --accept-deletions`."
            )
        ended["full_at"] = running["started_at"]
        self.report.is_full = True
        mirror.finish(stream, place=ended, unseen_before=running["number"])

    def relations(self, connection: duckdb.DuckDBPyConnection, mirror: Mirror) -> None:
        """Make one relation per stream: `id`, `parent` and the kept fields as text."""
        for stream in self.streams:
            columns = [
                f'json_extract(body, \'$."{name[:-2]}"\') as "{name[:-2]}"'
                if name.endswith("{}")
                else f'json_extract_string(body, \'$."{name}"\') as "{name}"'
                for name in stream.fields
                if name.removesuffix("{}") not in ("id", "parent")
            ]
            batches = mirror.batches(stream.name)
            connection.register("incoming", batches)
            connection.execute(
                f'create table "{stream.name}" as'
                f" select {', '.join(['id', 'parent', *columns])} from incoming"
            )
            connection.unregister("incoming")


def connector(name: str, source: SourceConfig, **options: Any) -> Connector:
    """Return the connector that a source declares.

    Raises
    ------
    SourceError
        If it declares none, or lacks what the connector needs.
    """
    if source.connector is None:
        raise SourceError(f"{name}: sources.yaml declares no connector for it")
    module, _, kind = _KINDS[source.connector.kind].partition(":")
    made: Connector = getattr(importlib.import_module(module), kind)(
        name, source, **options
    )
    return made


def connected(settings: Settings) -> list[str]:
    """Return the sources that declare a connector."""
    sources = settings.sources.sources
    return sorted(name for name, source in sources.items() if source.connector)


def sync(
    settings: Settings,
    name: str,
    *,
    full: bool = False,
    accept_deletions: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> SyncReport:
    """Bring a source's files in the inbox up to date with its service.

    Raises
    ------
    SourceError
        If the service cannot be read. The inbox stays as it is, what was read so far is
        kept, and the next sync goes on from there.
    """
    started = time.perf_counter()
    source = settings.sources.of(name)
    reader = connector(
        name,
        source,
        sleep=sleep,
        accept_deletions=accept_deletions,
        maximum_shrinkage=settings.policy.maximum_shrinkage,
    )
    known = tuple(sorted({name, *settings.sources.sources}))
    erased = Erasures(settings.home).erased(known)

    def excluded(stream: str, record: Record) -> bool:
        return names_erased(erased, name, stream, record.id, record.parent, record.body)

    with Mirror.open(
        mirror_path(settings.home, name), excluded=excluded if erased else None
    ) as mirror:
        reader.read(mirror, full=full)
        report = reader.report
        for stream in reader.streams:
            report.records[stream.name] = mirror.count(stream.name)
            report.changed[stream.name] = mirror.changed[stream.name]
            report.gone[stream.name] = mirror.gone[stream.name]
        tables = translated(reader, mirror)
    report.files = _write(settings.home.inbox / name, tables, report, erased)
    report.seconds = time.perf_counter() - started
    return report


def sync_all(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    full: bool = False,
    accept_deletions: bool = False,
) -> tuple[list[SyncReport], list[str]]:
    """Sync sources, one after the other; return reports and what failed.

    One service that cannot be read does not keep the others from being read.

    Raises
    ------
    SourceError
        If no source declares a connector, or one that is named does not.
    """
    reports, failures = [], []
    for name in _chosen(settings, names):
        try:
            reports.append(
                sync(settings, name, full=full, accept_deletions=accept_deletions)
            )
        except SourceError as error:
            failures.append(str(error))
    return reports, failures


def check_all(settings: Settings, names: Sequence[str] = ()) -> dict[str, list[Access]]:
    """Return what the credentials of each source can see.

    Raises
    ------
    SourceError
        As `sync_all`.
    """
    found: dict[str, list[Access]] = {}
    for name in _chosen(settings, names):
        try:
            found[name] = connector(name, settings.sources.of(name)).check()
        except SourceError as error:
            found[name] = [Access("connection", "fault", str(error))]
    return found


def _chosen(settings: Settings, names: Sequence[str]) -> list[str]:
    """The sources to read."""
    known = connected(settings)
    for name in names:
        if name not in known:
            raise SourceError(
                f"{name}: sources.yaml declares no connector for it; it has"
                f" {', '.join(known) or 'none'}"
            )
    if not known:
        raise SourceError(
            f"{settings.home.sources_file}: no source declares a connector; see"
            " docs/connectors.md"
        )
    return list(names) or known


def mirror_path(home: Home, name: str) -> Path:
    """Return where a source's mirror lies."""
    return home.restricted / "mirror" / f"{name}.sqlite"


def translated(reader: Connector, mirror: Mirror) -> dict[str, pa.Table]:
    """Return the entities of the landing contract that a source delivers, as text.

    Rows are in a fixed order, so equal content is equal bytes.
    """
    with _bench(reader.source) as connection:
        reader.relations(connection, mirror)
        connection.execute(_preparation(reader.translation))
        tables = {}
        for entity, sql in _sections(reader.translation):
            relation = connection.sql(sql)
            known = {column.name for column in ENTITIES[entity].columns}
            unknown = [name for name in relation.columns if name not in known]
            if unknown:
                raise AssertionError(f"{reader.translation}: {entity} has no {unknown}")
            columns = ", ".join(
                f'cast("{name}" as varchar) as "{name}"' for name in relation.columns
            )
            tables[entity] = connection.sql(
                f"select distinct {columns} from ({sql}) order by all"
            ).to_arrow_table()
        return tables


def _preparation(translation: str) -> str:
    """What precedes the first entity: the views and macros that sections share."""
    return _SECTION.split((SQL / translation).read_text(encoding="utf-8"))[0]


def _sections(translation: str) -> Iterator[tuple[str, str]]:
    """Entity and SQL of each section of a translation."""
    parts = _SECTION.split((SQL / translation).read_text(encoding="utf-8"))
    for entity, sql in zip(parts[1::2], parts[2::2], strict=True):
        yield entity, sql.strip().rstrip(";")


@contextmanager
def _bench(source: SourceConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the macros that translations use."""
    connection = connect(threads=2)
    try:
        connection.execute("set timezone = 'UTC'")
        for macro, mapping in (
            ("stage_of", source.stages),
            ("round_of", source.rounds),
            ("competency_of", source.competencies),
            ("family_of", source.role_families),
            ("declared_group_of", source.stage_groups),
        ):
            other = "null" if macro == "declared_group_of" else "native"
            connection.execute(
                f"create macro {macro}(native) as {_case(mapping, other)}"
            )
        connection.execute(
            "create macro default_family() as "
            + (_quoted(source.role_family) if source.role_family else "'all roles'")
        )
        connection.execute((SQL / "macros.sql").read_text(encoding="utf-8"))
        yield connection
    finally:
        connection.close()


def _case(mapping: Mapping[str, str], other: str) -> str:
    cases = " ".join(
        f"when {_quoted(native)} then {_quoted(name)}"
        for native, name in mapping.items()
    )
    return f"case native {cases} else {other} end" if cases else other


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _write(
    folder: Path,
    tables: Mapping[str, pa.Table],
    report: SyncReport,
    erased: Erased,
) -> list[Path]:
    """Write what has rows and has changed; return those files.

    An entity without rows has no file: a header alone would look like a lost export.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for entity, table in tables.items():
        report.entities[entity] = table.num_rows
        path = folder / f"{entity}.parquet"
        if not table.num_rows:
            path.unlink(missing_ok=True)
            continue
        aside = path.with_name(f".{path.name}")
        pq.write_table(table, aside, compression="zstd")
        if erased:
            without = path.with_name(f".without-{path.name}")
            if erased.clean(
                aside,
                without,
                form="parquet",
                entity=entity,
                source=folder.name,
                config=SourceConfig(),
            ):
                without.replace(aside)
        if path.is_file() and path.read_bytes() == aside.read_bytes():
            aside.unlink()
            continue
        written.append(aside.replace(path))
    return written
