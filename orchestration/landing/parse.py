"""Landed bytes to typed rows: everything is text first, nothing is guessed.

A row that cannot be typed is refused with a code and its place, never dropped.
"""

import csv
import datetime as dt
import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from orchestration.landing.contract import Column, Entity, likely
from orchestration.settings import SourceConfig

# Raised whenever the same bytes would parse to other rows.
PARSER_VERSION = 1
BLOCK_BYTES = 8 << 20
FIELD_BYTES = 2 << 20
EARLIEST = dt.date(1970, 1, 2)
LATEST = dt.date(2100, 1, 1)


@dataclass(frozen=True)
class Problem:
    """A fault that a person must mend: what, where, why, and what to do."""

    code: str
    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.where}: {self.what} [{self.code}]. {self.cure}"


class RefusedFileError(Exception):
    """A file that cannot be read as what it claims to be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Parsed:
    """Where a file's rows went: `rows_in = accepted + duplicates + quarantined`."""

    rows_in: int
    accepted: int
    duplicates: int
    quarantined: int
    last_event_on: dt.date | None
    warnings: tuple[str, ...]


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
    connection: duckdb.DuckDBPyConnection,
) -> Parsed:
    """Read one landed file into the tables `typed` and `refused` of a connection.

    `typed` has the contract's columns (people not yet pseudonyms) and the lineage;
    `refused` has line, column_name, code and the row as text.

    Raises
    ------
    RefusedFileError
        If the file as a whole cannot be read: encoding, header, missing columns.
    """
    reader = _Reader(path, name, form, entity, config)
    with reader.text_rows() as rows:
        connection.register("incoming", rows.batches)
        try:
            connection.execute(
                "create or replace table text_rows as select *,"
                " row_number() over () as _record from incoming"
            )
        except (pa.ArrowException, duckdb.Error) as error:
            raise reader.refused(
                "unreadable_file",
                f"the file breaks off or is no valid {form}",
                "Export it again; nothing of it was taken.",
                error,
            ) from None
        finally:
            connection.unregister("incoming")
    ragged = rows.ragged
    n_text = _one(connection, "select count(*) from text_rows")
    if n_text + len(ragged) == 0 and entity.name not in config.may_be_empty:
        raise reader.refused(
            "empty_file",
            "there is a header but no row",
            f"If that is right, list {entity.name} under may_be_empty of the source"
            " in sources.yaml.",
        )
    _type_rows(
        connection, entity, rows.columns, source, known_sources, config,
        name, extracted_on, first_line=rows.first_line, ragged=ragged,
    )  # fmt: skip
    duplicates = _drop_duplicates(connection)
    accepted = _one(connection, "select count(*) from typed")
    quarantined = _one(connection, "select count(*) from refused")
    rows_in = n_text + len(ragged)
    if rows_in != accepted + duplicates + quarantined:
        raise AssertionError(
            f"{name}: {rows_in} rows in, but {accepted} + {duplicates} + {quarantined}"
        )
    return Parsed(
        rows_in=rows_in,
        accepted=accepted,
        duplicates=duplicates,
        quarantined=quarantined,
        last_event_on=_last_event(connection, entity),
        warnings=reader.warnings(rows.columns),
    )


@dataclass
class _TextRows:
    """A file as a stream of text columns."""

    columns: tuple[str, ...]
    batches: pa.RecordBatchReader
    first_line: int
    ragged: list[tuple[int, str, str]]


class _Reader:
    """One file and how it is opened."""

    def __init__(
        self, path: Path, name: str, form: str, entity: Entity, config: SourceConfig
    ) -> None:
        self.path, self.name, self.form = path, name, form
        self.entity, self.config = entity, config

    @contextmanager
    def text_rows(self) -> Iterator[_TextRows]:
        """The rows of the file as text, whatever its form."""
        if self.form == "parquet":
            yield self._parquet()
            return
        with self._open() as file:
            yield self._csv(file) if self.form == "csv" else self._jsonl(file)

    def refused(
        self, code: str, what: str, cure: str, error: Exception | None = None
    ) -> RefusedFileError:
        """The refusal of this file, in words."""
        return RefusedFileError(Problem(code, self.name, what, cure))

    def warnings(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Columns the contract does not know: accepted, ignored, and said so."""
        known = [column.name for column in self.entity.columns]
        return tuple(
            f"{self.name}: column {column!r} is not in the contract and ignored;"
            f" {likely(column, known)}".rstrip("; ")
            for column in columns
            if column not in known
        )

    def _open(self) -> IO[bytes]:
        packed = self.path.suffix == ".gz" or self.name.endswith(".gz")
        file: IO[bytes] = (
            gzip.open(self.path, "rb") if packed else self.path.open("rb")  # type: ignore[assignment]
        )
        start = file.read(4)
        file.seek(0)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") and "16" not in self.config.encoding:
            raise self.refused(
                "wrong_encoding",
                "this is UTF-16",
                "Export as UTF-8, or set `encoding: utf-16` for the source in"
                " sources.yaml.",
            )
        if start[:2] in (b"\x80\x04", b"\x80\x05", b"PK") or start == b"%PDF":
            raise self.refused(
                "wrong_format",
                f"this is no {self.form} but a binary file",
                "Save it as CSV, JSON Lines or Parquet.",
            )
        return file

    def _csv(self, file: IO[bytes]) -> _TextRows:
        header, lines = self._header(file)
        self._require(header)
        ragged: list[tuple[int, str, str]] = []

        def set_aside(row: pacsv.InvalidRow) -> str:
            code = "ragged_row"
            ragged.append((row.number or 0, code, row.text))
            return "skip"

        file.seek(0)
        batches = (
            pacsv.open_csv(
                file,
                read_options=pacsv.ReadOptions(
                    column_names=header,
                    skip_rows=lines,
                    block_size=BLOCK_BYTES,
                    encoding=self.config.encoding,
                    # Row numbers are only known to a reader without threads.
                    use_threads=False,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=self.config.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=set_aside,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={column: pa.string() for column in header},
                    strings_can_be_null=False,
                    null_values=[],
                    check_utf8=True,
                ),
            )
            if self._has_rows(file, lines)
            else _no_rows(header)
        )
        return _TextRows(tuple(header), batches, lines + 1, ragged)

    def _has_rows(self, file: IO[bytes], lines: int) -> bool:
        """Whether anything follows the header; the reader fails on nothing."""
        file.seek(0)
        for _ in range(lines):
            file.readline()
        rest = file.read(1)
        file.seek(0)
        return bool(rest)

    def _header(self, file: IO[bytes]) -> tuple[list[str], int]:
        encoding = self.config.encoding
        if encoding.replace("_", "-").lower() in ("utf-8", "utf8"):
            encoding = "utf-8-sig"
        try:
            text = io.TextIOWrapper(file, encoding=encoding, newline="")
            reader = csv.reader(text, delimiter=self.config.delimiter)
            header = [column.strip() for column in next(reader, [])]
            lines = reader.line_num
            text.detach()
        except (UnicodeDecodeError, csv.Error) as error:
            raise self.refused(
                "wrong_encoding",
                f"line 1 is not {self.config.encoding}",
                "Export as UTF-8, or declare `encoding` for the source in sources.yaml.",
                error,
            ) from None
        if not any(header):
            raise self.refused(
                "empty_file", "the file is empty", "Export it again, with a header."
            )
        return header, lines

    def _require(self, columns: Sequence[str]) -> None:
        repeated = sorted({c for c in columns if list(columns).count(c) > 1})
        if repeated:
            raise self.refused(
                "duplicate_column",
                f"line 1 names column {repeated[0]!r} twice",
                "Rename or remove one of them.",
            )
        missing = [c for c in self.entity.required if c not in columns]
        if missing:
            found = [c for c in columns if c not in self.entity.required]
            hints = [
                f"{column!r} is missing"
                + (f" ({near[0]!r} is there)" if (near := _near(column, found)) else "")
                for column in missing
            ]
            raise self.refused(
                "missing_column",
                f"line 1: required column {', '.join(hints)}",
                f"{self.entity.name} needs {', '.join(self.entity.required)}; rename or"
                " add it.",
            )

    def _jsonl(self, file: IO[bytes]) -> _TextRows:
        if not file.read(1):
            raise self.refused("empty_file", "the file is empty", "Export it again.")
        file.seek(0)
        lines = pacsv.open_csv(
            file,
            read_options=pacsv.ReadOptions(
                column_names=["_json"], block_size=BLOCK_BYTES, use_threads=False
            ),
            # One column: the separator cannot occur in JSON text.
            parse_options=pacsv.ParseOptions(
                delimiter="\x01", quote_char=False, ignore_empty_lines=True
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={"_json": pa.string()}, strings_can_be_null=False
            ),
        )
        return _TextRows(
            tuple(column.name for column in self.entity.columns), lines, 1, []
        )

    def _parquet(self) -> _TextRows:
        try:
            file = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise self.refused(
                "unreadable_file",
                "this is no whole Parquet file",
                "Export it again; nothing of it was taken.",
                error,
            ) from None
        names = file.schema_arrow.names
        self._require(names)
        wanted = [c.name for c in self.entity.columns if c.name in names]
        batches = pa.RecordBatchReader.from_batches(
            pa.schema([file.schema_arrow.field(name) for name in wanted]),
            (
                batch.select(wanted)
                for batch in file.iter_batches(200_000, columns=wanted)
            ),
        )
        return _TextRows(tuple(names), batches, 1, [])


def _no_rows(columns: Sequence[str]) -> pa.RecordBatchReader:
    return pa.table({c: pa.array([], pa.string()) for c in columns}).to_reader()


def _near(name: str, known: Sequence[str]) -> list[str]:
    hint = likely(name, list(known))
    return [hint.split("'")[1]] if hint else []


def _type_rows(
    connection: duckdb.DuckDBPyConnection,
    entity: Entity,
    columns: Sequence[str],
    source: str,
    known_sources: Sequence[str],
    config: SourceConfig,
    name: str,
    extracted_on: dt.date | None,
    *,
    first_line: int,
    ragged: list[tuple[int, str, str]],
) -> None:
    """Split `text_rows` into `typed` and `refused`, in one pass over the columns."""
    connection.execute(f"set timezone = {_quoted(config.timezone)}")
    is_json = "_json" in _columns_of(connection, "text_rows")
    if is_json:
        _explode_json(connection, entity)
    present = set(_columns_of(connection, "text_rows"))
    read = [column for column in entity.columns if column.name in present]
    typed, faults, shown = [], [], []
    for column in entity.columns:
        if column not in read:
            typed.append(f'cast(null as {_SQL_TYPES[column.kind]}) as "{column.name}"')
            continue
        text = f"text_{column.name}"
        shown.append(f"nullif(trim(cast(\"{column.name}\" as varchar)), '') as {text}")
        value, fault = _expression(column, text, source, known_sources, config)
        typed.append(f'{value} as "{column.name}"')
        faults.append(fault)
    # The reader numbers records; lines that were set aside shift what follows.
    lines = sorted(number for number, _, _ in ragged)
    shifts = " + ".join(
        ["0", *(f"(case when _record + {first_line - 1} + {place} >= {line} then 1"
                " else 0 end)" for place, line in enumerate(lines[:200]))]
    )  # fmt: skip
    codes = ", ".join(fault for fault in faults if fault)
    too_long = " or ".join(f"strlen(text_{c.name}) > {FIELD_BYTES}" for c in read)
    has_nul = " or ".join(f"contains(text_{c.name}, chr(0))" for c in read)
    broken = "case when _broken then 'malformed_json|' end," if is_json else ""
    connection.execute(
        f"""
        create or replace table judged as
        with shown as (
            select {", ".join(shown)}, _record,
                _record + {first_line - 1} + {shifts} as _line
                {", _broken" if is_json else ""}
            from text_rows
        )
        select *, coalesce({broken}
            case when {too_long} then 'too_long|' end,
            case when {has_nul} then 'control_character|' end,
            {codes}) as _fault,
            {", ".join(typed)}
        from shown
        """
    )
    raw_names = ", ".join(f'"{column.name}"' for column in entity.columns)
    content = ", ".join(
        f'coalesce(cast("{c.name}" as varchar), chr(30))' for c in entity.columns
    )
    date = f"date '{extracted_on}'" if extracted_on else "cast(null as date)"
    connection.execute("set timezone = 'UTC'")
    connection.execute(
        f"""
        create or replace table typed as
        select {raw_names}, {_quoted(source)} as _source, {_quoted(name)} as _file,
            cast(_line as bigint) as _line, {date} as _extracted_on,
            md5(concat_ws(chr(31), {content})) as _content
        from judged where _fault is null
        """
    )
    row_text = ", ".join(f"text_{column.name}" for column in read)
    connection.execute(
        f"""
        create or replace table refused as
        select cast(_line as bigint) as line,
            nullif(split_part(_fault, '|', 2), '') as column_name,
            split_part(_fault, '|', 1) as code,
            concat_ws(chr(31), {row_text}) as row_text
        from judged where _fault is not null
        """
    )
    connection.execute("drop table judged; drop table text_rows")
    if ragged:
        connection.executemany(
            "insert into refused values (?, null, ?, ?)",
            [(line, code, text[:FIELD_BYTES]) for line, code, text in ragged],
        )


def _explode_json(connection: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """One text column per contract column out of each line of JSON."""
    fields = ", ".join(
        f"case when _valid then json_extract_string(_json, '$.{c.name}') end"
        f' as "{c.name}"'
        for c in entity.columns
    )
    connection.execute(
        f"""
        create or replace table text_rows as
        select {fields}, _record, not _valid as _broken
        from (
            select *, json_valid(_json) and left(ltrim(_json), 1) = '{{' as _valid
            from text_rows
        )
        """
    )


def _expression(
    column: Column,
    text: str,
    source: str,
    known_sources: Sequence[str],
    config: SourceConfig,
) -> tuple[str, str]:
    """SQL of a column's typed value, and SQL of its fault (`code|column` or null)."""
    value, code = text, ""
    if column.kind in ("id", "person"):
        known = ", ".join(_quoted(name) for name in known_sources)
        value = (
            f"case when split_part({text}, ':', 1) in ({known}) and"
            f" contains({text}, ':') then {text} else {_quoted(source + ':')} || {text}"
            " end"
        )
    elif column.kind == "timestamp":
        value, code = f"timezone('UTC', {_timestamp(text, config)})", "bad_timestamp"
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
    elif column.name in ("stage", "round", "competency"):
        value = _mapped(text, getattr(config, _MAPPINGS[column.name]))
    checks = []
    if not column.is_nullable:
        checks.append((f"{text} is null", "missing_value"))
    if code:
        checks.append((f"{text} is not null and {value} is null", code))
    if column.kind == "number":
        checks.append((f"isnan({value}) or isinf({value})", "bad_number"))
    if column.kind == "integer":
        checks.append((f"{value} <> try_cast({text} as double)", "bad_number"))
    if column.kind in ("timestamp", "date"):
        bounds = f"cast({value} as date) not between '{EARLIEST}' and '{LATEST}'"
        checks.append((bounds, "implausible_date"))
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
_MAPPINGS = {"stage": "stages", "round": "rounds", "competency": "competencies"}


def _timestamp(text: str, config: SourceConfig) -> str:
    """An instant; text without an offset is read in the source's zone."""
    if config.timestamp_format:
        return f"cast(try_strptime({text}, {_quoted(config.timestamp_format)}) as timestamptz)"
    return f"try_cast({text} as timestamptz)"


def _date(text: str, config: SourceConfig) -> str:
    if config.date_format:
        return f"cast(try_strptime({text}, {_quoted(config.date_format)}) as date)"
    return f"try_cast({text} as date)"


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
        " from typed group by _content having count(*) > 1"
    )
    more = _one(connection, "select coalesce(sum(more), 0) from repeated")
    if more:
        connection.execute(
            "delete from typed using repeated where typed._content ="
            " repeated._content and typed._line > repeated.first_line"
        )
    return more


def _last_event(
    connection: duckdb.DuckDBPyConnection, entity: Entity
) -> dt.date | None:
    """The last date on which anything happened in the file."""
    events = [c.name for c in entity.columns if c.is_event]
    if not events:
        return None
    greatest = ", ".join(f'max(cast("{name}" as date))' for name in events)
    rows = connection.execute(
        f"select greatest({greatest}, null) from typed"
    ).fetchall()
    found: dt.date | None = rows[0][0]
    return found


def _columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = connection.execute(f"describe {table}").fetchall()
    return [str(row[0]) for row in rows]


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    rows: list[Any] = connection.execute(sql).fetchall()
    return int(rows[0][0])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
