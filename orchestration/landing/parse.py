"""Landed bytes to typed rows: everything is text first, nothing is guessed.

A row that cannot be typed is refused with a code and its place, never dropped. A file
is read once, as a stream; DuckDB judges and types it, and spills what is large.
"""

import bisect
import datetime as dt
import functools
import zlib
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.landing.contract import Column, Entity
from orchestration.landing.reader import (
    FIELD_BYTES,
    NESTED,
    Problem,
    Reader,
    RefusedFileError,
    TextRows,
)
from orchestration.settings import SourceConfig
from orchestration.warehouse import connect

__all__ = [
    "PARSER_VERSION",
    "Parsed",
    "Problem",
    "RefusedFileError",
    "parse",
    "workbench",
]

# Raised whenever the same bytes would parse to other rows.
PARSER_VERSION = 4
EARLIEST = dt.date(1970, 1, 2)
LATEST = dt.date(2100, 1, 1)
_WEEK = 7 * 86_400
# A zone or an offset ends the text; the day of a bare date looks like an offset.
_OFFSET = "'.*([A-Za-z_]|[+-][0-9][0-9](:?[0-9][0-9])?)'"
_UNREADABLE = (pa.ArrowException, duckdb.Error, OSError, EOFError, zlib.error,
               UnicodeError, RecursionError)  # fmt: skip


@dataclass(frozen=True)
class Parsed:
    """Where a file's rows went: `rows_in = accepted + duplicates + quarantined`.

    `columns` are those that the file names, of the contract and others.
    """

    rows_in: int
    accepted: int
    duplicates: int
    quarantined: int
    last_event_on: dt.date | None
    warnings: tuple[str, ...]
    columns: tuple[str, ...]


@contextmanager
def workbench(folder: Path, *, home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for parsing, which reaches no file outside two folders.

    Parameters
    ----------
    folder : Path
        Where what does not fit into memory spills.
    home : Path
        Where raw and what is restricted are written.
    """
    connection = connect(temp_directory=str(folder), memory_limit="1GB", threads=2)
    try:
        places = {f"{way}/" for p in (folder, home) for way in (p, p.resolve())}
        allowed = ", ".join(map(_quoted, sorted(places)))
        connection.execute(f"set allowed_directories = [{allowed}]")
        # Whatever a statement came to say: no file elsewhere, no address, no extension.
        connection.execute("set enable_external_access = false")
        yield connection
    finally:
        connection.close()


def parse(
    path: Path,
    *,
    name: str,
    form: str,
    entity: Entity,
    source: str,
    known_sources: Sequence[str],
    config: SourceConfig,
    extracted_on: dt.date | None,
    salt: str,
    connection: duckdb.DuckDBPyConnection,
) -> Parsed:
    """Read one landed file into the relations `typed` and `refused` of a connection.

    `typed` has the contract's columns (people not yet pseudonyms) and the lineage;
    `refused` has line, column_name, code and the row as text.

    Parameters
    ----------
    salt : str
        Keeps the content hash of a row from being undone by trying short ids.

    Raises
    ------
    RefusedFileError
        If the file as a whole cannot be read: encoding, header, missing columns.
    """
    reader = Reader(path, name, form, entity, config)
    _require_declared(connection, reader, config)
    try:
        with reader.text_rows() as rows:
            # Places that are set aside are known once the rows have been read.
            _judge(
                connection, rows, entity, source, known_sources, config,
                name, extracted_on, salt,
            )  # fmt: skip
    except RefusedFileError:
        raise
    except _UNREADABLE as error:
        raise reader.broken(error) from None
    _set_aside(connection, rows)
    n_read = _one(connection, "select count(*) from judged")
    n_ragged = len(rows.ragged)
    if n_read + n_ragged == 0 and entity.name not in config.may_be_empty:
        raise reader.refused(
            "empty_file",
            "there is no row in it",
            f"If that is right, list {entity.name} under may_be_empty of the source"
            " in sources.yaml.",
        )
    quarantined = _one(connection, "select count(*) from refused")
    duplicates = _drop_duplicates(connection)
    accepted, last_event_on = _accepted(connection, entity)
    rows_in = n_read + n_ragged
    if rows_in != accepted + duplicates + quarantined:
        raise AssertionError(
            f"{name}: {rows_in} rows in, but {accepted} + {duplicates} + {quarantined}"
        )
    return Parsed(
        rows_in=rows_in,
        accepted=accepted,
        duplicates=duplicates,
        quarantined=quarantined,
        last_event_on=last_event_on,
        warnings=(
            *reader.warnings(rows.columns),
            *_clock_warnings(connection, name, config),
        ),
        columns=rows.columns,
    )


def _require_declared(
    connection: duckdb.DuckDBPyConnection, reader: Reader, config: SourceConfig
) -> None:
    """Refuse what sources.yaml declares but cannot be used, before any row is read."""
    formats = (config.timestamp_format, config.date_format)
    try:
        connection.execute(f"set timezone = {_quoted(config.timezone)}")
        for form in formats:
            if form:
                connection.execute(f"select try_strptime('', {_quoted(form)})")
    except duckdb.Error:
        raise reader.refused(
            "bad_declaration",
            f"the timezone ({config.timezone}) or a format"
            f" ({', '.join(form for form in formats if form) or 'none'}) declared for"
            " its source cannot be used",
            "Correct sources.yaml: an IANA zone, and formats as in %Y-%m-%d %H:%M.",
        ) from None
    if not config.delimiter.isascii():
        raise reader.refused(
            "bad_declaration",
            f"the delimiter {config.delimiter!r} declared for its source is not ASCII",
            "Correct sources.yaml; export with a comma, a semicolon or a tab.",
        )


def _judge(
    connection: duckdb.DuckDBPyConnection,
    rows: TextRows,
    entity: Entity,
    source: str,
    known_sources: Sequence[str],
    config: SourceConfig,
    name: str,
    extracted_on: dt.date | None,
    salt: str,
) -> None:
    """Make `judged` in one pass over the file, and `typed` as its accepted rows."""
    typed, faults, shown, clocks = [], [], [], []
    for column in entity.columns:
        if column.name not in rows.read:
            typed.append(f'cast(null as {_SQL_TYPES[column.kind]}) as "{column.name}"')
            continue
        text = f"text_{column.name}"
        shown.append(f"{_shown(rows, column)} as {text}")
        value, fault = _expression(column, text, source, known_sources, config)
        typed.append(f'{value} as "{column.name}"')
        faults.append(fault)
        if column.kind == "timestamp":
            clocks.append(text)
    codes = ", ".join(["null", *(fault for fault in faults if fault)])
    row_text = ", ".join(
        f"text_{c.name}" for c in entity.columns if c.name in rows.read
    )
    content = ", ".join(
        f'coalesce(cast("{c.name}" as varchar), chr(30))' for c in entity.columns
    )
    names = ", ".join(f'"{column.name}"' for column in entity.columns)
    date = f"date '{extracted_on}'" if extracted_on else "cast(null as date)"
    connection.execute(f"set timezone = {_quoted(config.timezone)}")
    connection.register("incoming", rows.batches)
    try:
        connection.execute(
            f"""
            create or replace temp table judged as
            with shown as (
                select {", ".join(shown)}, _line, {rows.fault} as _line_fault
                from {rows.relation}
            ),
            typed as (
                select _line, {", ".join(typed)},
                    coalesce(_line_fault, {codes}) as _fault,
                    {_in_clock_change(clocks, config)} as _is_in_clock_change,
                    concat_ws(chr(31), {row_text}) as _row_text
                from shown
            )
            select {names}, _line, _fault, _is_in_clock_change,
                case when _fault is not null then _row_text end as _row_text,
                case when _fault is null
                    then md5(concat_ws(chr(31), {_quoted(salt)}, {content})) end
                    as _content
            from typed
            """
        )
    finally:
        connection.unregister("incoming")
        connection.execute("set timezone = 'UTC'")
    connection.execute(
        f"""
        create or replace temp view typed as
        select {names}, {_quoted(source)} as _source, {_quoted(name)} as _file, _line,
            {date} as _extracted_on, _content
        from judged where _fault is null
        """
    )


def _shown(rows: TextRows, column: Column) -> str:
    """SQL of a column's text: trimmed, null where there is none."""
    text = f'cast("{column.name}" as varchar)'
    if column.name in rows.floating:
        # 4.0 in a column of numbers is the rating 4: the column had missing values.
        text = f"regexp_replace({text}, '\\.0$', '')"
    return f"nullif(trim({text}), '')"


def _set_aside(connection: duckdb.DuckDBPyConnection, rows: TextRows) -> None:
    """Make `refused` of the rows that failed and of those that were no rows."""
    ragged = pa.table(
        {
            "line": pa.array([row.line for row in rows.ragged], pa.int64()),
            "row_text": pa.array([row.text for row in rows.ragged], pa.string()),
        }
    )
    connection.register("ragged", ragged)
    connection.execute(
        """
        create or replace temp table refused as
        select _line as line, nullif(split_part(_fault, '|', 2), '') as column_name,
            split_part(_fault, '|', 1) as code, _row_text as row_text
        from judged where _fault is not null
        union all
        select line, null, 'ragged_row', row_text from ragged
        """
    )
    connection.unregister("ragged")


def _expression(
    column: Column,
    text: str,
    source: str,
    known_sources: Sequence[str],
    config: SourceConfig,
) -> tuple[str, str]:
    """SQL of a column's typed value, and SQL of its fault (`code|column` or null)."""
    value, code = text, ""
    checks = []
    if not column.is_nullable:
        checks.append((f"{text} is null", "missing_value"))
    checks.append((f"{text} = {_quoted(NESTED)}", "nested_value"))
    if _SQL_TYPES[column.kind] == "varchar":
        checks.append((f"strlen({text}) > {FIELD_BYTES}", "too_long"))
        checks.append((f"contains({text}, chr(0))", "control_character"))
    if column.kind in ("id", "person"):
        known = ", ".join(_quoted(name) for name in known_sources)
        value = (
            f"case when contains({text}, ':') and split_part({text}, ':', 1) in"
            f" ({known}) then {text} else {_quoted(source + ':')} || {text} end"
        )
    elif column.kind == "timestamp":
        value, code = _timestamp(text, config), "bad_timestamp"
    elif column.kind == "date":
        value, code = _date(text, config), "bad_date"
    elif column.kind == "number":
        value, code = f"try_cast({text} as double)", "bad_number"
    elif column.kind == "integer":
        value, code = f"try_cast(try_cast({text} as double) as bigint)", "bad_number"
    elif column.kind == "boolean":
        value, code = _boolean(text), "bad_boolean"
    elif column.values:
        value = f"lower({text})"
    elif column.name in _MAPPINGS:
        value = _mapped(text, getattr(config, _MAPPINGS[column.name]))
    if code:
        checks.append((f"{text} is not null and {value} is null", code))
    if column.kind == "number":
        checks.append((f"isnan({value}) or isinf({value})", "bad_number"))
    if column.kind == "integer":
        checks.append((f"{value} <> try_cast({text} as double)", "bad_number"))
    if column.kind in ("timestamp", "date"):
        bounds = f"{value} < '{EARLIEST}' or {value} > '{LATEST}'"
        checks.append((bounds, "implausible_date"))
    for sign, limit in zip("<>", column.limits, strict=True):
        if limit is not None:
            bound = f"try_cast(text_{limit} as double)"
            checks.append(
                (f"{value} {sign} {bound if isinstance(limit, str) else limit}",
                 "off_scale")
            )  # fmt: skip
    if column.values:
        allowed = ", ".join(_quoted(value) for value in column.values)
        checks.append((f"lower({text}) not in ({allowed})", "unknown_value"))
    cases = " ".join(
        f"when {check} then '{name}|{column.name}'" for check, name in checks
    )
    return value, f"case {cases} end" if cases else ""


_SQL_TYPES = {
    "timestamp": "timestamp",
    "date": "date",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    **dict.fromkeys(("id", "person", "text", "pii", "free_text"), "varchar"),
}
_MAPPINGS = {"stage": "stages", "round": "rounds", "competency": "competencies",
             "role_family": "role_families"}  # fmt: skip


def _timestamp(text: str, config: SourceConfig) -> str:
    """An instant in UTC; text without an offset is read in the source's zone."""
    if config.timestamp_format:
        form = _quoted(config.timestamp_format)
        instant = f"cast(try_strptime({text}, {form}) as timestamptz)"
    else:
        instant = f"try_cast({_numeral(text)} as timestamptz)"
    # Plain arithmetic: `at time zone` would ask the calendar for every row.
    return f"make_timestamp(epoch_us({instant}))"


@functools.cache
def _clock_changes(timezone: str) -> tuple[tuple[dt.datetime, dt.datetime], ...]:
    """Local times that a clock change of a zone skips or repeats: from, until."""
    zone = zoneinfo.ZoneInfo(timezone)

    def offset(second: int) -> dt.timedelta:
        local = dt.datetime.fromtimestamp(second, zone)
        return local.utcoffset() or dt.timedelta()

    first, last = (
        int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
        for day in (EARLIEST, LATEST)
    )
    found = []
    after = offset(first)
    for start in range(first, last, _WEEK):
        before, after = after, offset(start + _WEEK)
        if before != after:
            at = _changed_at(offset, start, before)
            found.append((at + min(before, after), at + max(before, after)))
    return tuple(found)


def _changed_at(
    offset: Callable[[int], dt.timedelta], start: int, before: dt.timedelta
) -> dt.datetime:
    """When, within a week from `start`, the offset is no longer `before`; UTC."""
    week = range(start, start + _WEEK)
    n_unchanged = bisect.bisect(week, 0, key=lambda second: offset(second) != before)
    return dt.datetime.fromtimestamp(start + n_unchanged, dt.UTC).replace(tzinfo=None)


def _in_clock_change(texts: Sequence[str], config: SourceConfig) -> str:
    """SQL of whether a time without an offset is one that was skipped or repeated."""
    changes = _clock_changes(config.timezone)
    declared = config.timestamp_format or ""
    if not changes or not texts or "%z" in declared.lower():
        return "false"
    days = ", ".join(f"date '{start:%Y-%m-%d}'" for start, _ in changes)
    spans = ", ".join(f"date '{a:%Y-%m-%d}': [timestamp '{a}', timestamp '{b}']"
                      for a, b in changes)  # fmt: skip
    checks = []
    for text in texts:
        naive = f"case when {text} not similar to {_OFFSET} then {text} end"
        local = f"try_cast({naive} as timestamp)"
        if declared:
            local = f"try_strptime({text}, {_quoted(declared)})"
        span = f"map {{{spans}}}[cast({local} as date)]"
        checks.append(
            f"case when cast({local} as date) in ({days})"
            f" then {local} >= {span}[1] and {local} < {span}[2] else false end"
        )
    return " or ".join(checks)


def _clock_warnings(
    connection: duckdb.DuckDBPyConnection, name: str, config: SourceConfig
) -> tuple[str, ...]:
    """How many accepted rows have a time that its zone has not, or has twice."""
    n = _one(
        connection,
        "select count(*) from judged where _fault is null and _is_in_clock_change",
    )
    if not n:
        return ()
    return (
        f"{name}: {n:,} rows have a time that a clock change of {config.timezone}"
        " skips or repeats, read as the later of the two moments it can mean; deliver"
        " times with an offset",
    )


def _date(text: str, config: SourceConfig) -> str:
    if config.date_format:
        return f"cast(try_strptime({text}, {_quoted(config.date_format)}) as date)"
    return f"try_cast({_numeral(text)} as date)"


def _numeral(text: str) -> str:
    """The text if it begins with a digit: `epoch` and `infinity` are no dates."""
    return f"case when {text} >= '0' and {text} < ':' then {text} end"


def _boolean(text: str) -> str:
    return (
        f"case when lower({text}) in ('true', 't', 'yes', 'y', '1') then true"
        f" when lower({text}) in ('false', 'f', 'no', 'n', '0') then false end"
    )


def _mapped(text: str, mapping: dict[str, str]) -> str:
    """Native names to those of the funnel; what is not mapped stays as it is."""
    if not mapping:
        return text
    cases = " ".join(
        f"when {_quoted(native)} then {_quoted(name)}"
        for native, name in mapping.items()
    )
    return f"case {text} {cases} else {text} end"


def _drop_duplicates(connection: duckdb.DuckDBPyConnection) -> int:
    """Remove exact repetitions within the file; return how many there were."""
    connection.execute(
        "create or replace temp table repeated as"
        " select _content, min(_line) as first_line, count(*) - 1 as more"
        " from judged where _fault is null group by _content having count(*) > 1"
    )
    more = _one(connection, "select coalesce(sum(more), 0) from repeated")
    if more:
        connection.execute(
            "delete from judged using repeated where judged._content ="
            " repeated._content and judged._line > repeated.first_line"
        )
    return more


def _accepted(
    connection: duckdb.DuckDBPyConnection, entity: Entity
) -> tuple[int, dt.date | None]:
    """How many rows are left, and the last date on which anything happened."""
    events = [c.name for c in entity.columns if c.is_event]
    greatest = ", ".join(f'cast(max("{name}") as date)' for name in events)
    last = f"greatest({greatest}, null)" if events else "null"
    rows = connection.execute(f"select count(*), {last} from typed").fetchall()
    found: tuple[int, dt.date | None] = rows[0]
    return found


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    rows = connection.execute(sql).fetchall()
    return int(rows[0][0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
