"""Files to streams of text columns with line numbers, whatever their form."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from orchestration.landing.contract import Entity, likely
from orchestration.settings import SourceConfig

# Its stubs do not know the columns of a batch.
pc: Any = pyarrow.compute
BLOCK_BYTES = 8 << 20
FIELD_BYTES = 2 << 20
# Beyond this many it is the file that is broken, not its rows.
MAX_RAGGED = 100_000
# Text compresses about ten times; far beyond that it is a bomb.
MAX_RATIO = 200
SMALL_BYTES = 50 << 20
PEEKED_LINES = 1000
# What stands for a JSON object or list where a value was expected.
NESTED = "\x1d"


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


@dataclass
class Ragged:
    """A row with more or fewer fields than the header."""

    place: int
    text: str
    line: int = 0


@dataclass
class TextRows:
    """A file as a stream of text columns and `_line`.

    `columns` are those the file names, `read` those of the contract among them;
    `relation` is what to select from, and `fault` SQL of `<code>|` where a line is no
    row.
    """

    columns: tuple[str, ...]
    read: frozenset[str]
    batches: pa.RecordBatchReader
    relation: str = "incoming"
    fault: str = "null"
    floating: frozenset[str] = frozenset()
    ragged: list[Ragged] = field(default_factory=list)


class Reader:
    """One file and how it is opened."""

    def __init__(
        self, path: Path, name: str, form: str, entity: Entity, config: SourceConfig
    ) -> None:
        self.path, self.name, self.form = path, name, form
        self.entity, self.config = entity, config
        # What went wrong inside a stream: DuckDB would turn it into text.
        self.fault: Exception | None = None

    @contextmanager
    def text_rows(self) -> Iterator[TextRows]:
        """The rows of the file as text, whatever its form."""
        if self.form == "parquet":
            yield self._parquet()
            return
        with self._open() as file:
            yield self._csv(file) if self.form == "csv" else self._jsonl(file)

    def refused(self, code: str, what: str, cure: str) -> RefusedFileError:
        """The refusal of this file, in words."""
        return RefusedFileError(Problem(code, self.name, what, cure))

    def broken(self, error: BaseException) -> RefusedFileError:
        """The refusal of a file whose reading failed, from what failed in it."""
        cause = self.fault or error
        if isinstance(cause, RefusedFileError):
            return cause
        text = str(cause)
        if "UTF8" in text or isinstance(cause, UnicodeError):
            return self._wrong_encoding()
        if isinstance(cause, (duckdb.OutOfMemoryException, duckdb.IOException)):
            return self.no_room()
        if "straddling" in text and self.form == "jsonl":
            return self.refused(
                "unreadable_file",
                "a line of over 8 MB",
                "Write one JSON object per line, without line breaks within it.",
            )
        if "straddling" in text or "delimiter" in text:
            return self.refused(
                "unclosed_quote",
                "a field of over 8 MB: a quote is opened and never closed",
                'Write a quote within a quoted field as "".',
            )
        return self.refused(
            "unreadable_file",
            f"the file breaks off or is no valid {self._form_said}",
            "Export it again; nothing of it was taken.",
        )

    def no_room(self) -> RefusedFileError:
        """The refusal of a file for which there is no memory or disk."""
        return self.refused(
            "no_room",
            "memory or disk ran out while it was read; nothing of it was taken",
            "Free space in the home and in the temporary folder (TMPDIR), and run"
            " again.",
        )

    def warnings(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Columns the contract does not know: accepted, ignored, and said so."""
        known = [column.name for column in self.entity.columns]
        return tuple(
            f"{self.name}: column {column!r} is not in the contract and ignored;"
            f" {likely(column, known)}".rstrip("; ")
            for column in columns
            if column not in known
        )

    @property
    def _packed(self) -> bool:
        return self.name.endswith(".gz")

    @property
    def _form_said(self) -> str:
        said = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}[self.form]
        return f"gzip of {said}" if self._packed else said

    @property
    def _encoding(self) -> str:
        return codecs.lookup(self.config.encoding).name

    def _open(self) -> IO[bytes]:
        file: IO[bytes] = self.path.open("rb")
        if self._packed:
            file = io.BufferedReader(_Unpacked(file, self))
        start = file.read(4)
        file.seek(0)
        # Declared is UTF-16: its mark is expected.
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") and "16" not in self._encoding:
            raise self.refused(
                "wrong_encoding",
                "this is UTF-16",
                "Export as UTF-8, or set `encoding: utf-16` for the source in"
                " sources.yaml.",
            )
        if start[:2] == b"\x1f\x8b":
            raise self.refused(
                "wrong_format", "this is gzip", "Let its name end in .gz."
            )
        if start[:2] in (b"\x80\x04", b"\x80\x05", b"PK") or start in (
            b"%PDF",
            b"PAR1",
        ):
            raise self.refused(
                "wrong_format",
                f"this is no {self._form_said} but a binary file",
                "Save it as CSV, JSON Lines or Parquet, and name it so.",
            )
        return file

    def _wrong_encoding(self) -> RefusedFileError:
        return self.refused(
            "wrong_encoding",
            f"line {self._undecodable()} is not {self.config.encoding}",
            "Export as UTF-8, or declare `encoding` for the source in sources.yaml.",
        )

    def _undecodable(self) -> int:
        """The first line that is not in the declared encoding."""
        decoder = codecs.getincrementaldecoder(self._encoding)()
        line = 0
        with self._open() as file:
            for content in file:
                line += 1
                try:
                    decoder.decode(content)
                except UnicodeError:
                    break
        return line

    # -- CSV ------------------------------------------------------------------------

    def _csv(self, file: IO[bytes]) -> TextRows:
        header, lines = self._header(file)
        header = self._canonical(header)
        self._require(header)
        names = [
            name if name in self._known else f"_extra_{place}"
            for place, name in enumerate(header)
        ]
        ragged: list[Ragged] = []
        file.seek(0)
        if not self._has_rows(file, lines):
            return TextRows(
                tuple(header), frozenset(names) & self._known, _no_rows(names)
            )
        quoted = _QuoteCounter(file)
        batches = pacsv.open_csv(
            cast(IO[bytes], quoted),
            read_options=pacsv.ReadOptions(
                column_names=names,
                skip_rows=lines,
                block_size=BLOCK_BYTES,
                encoding=self.config.encoding,
                # Row numbers are only known to a reader without threads.
                use_threads=False,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self.config.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=self._set_aside(ragged, lines),
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                check_utf8=True,
            ),
        )
        kept = [name for name in names if name in self._known]
        schema = _schema(dict.fromkeys(kept, pa.string()))
        numbered = _numbered(batches, kept, ragged, lines + 1)
        stream = self._watched(self._closed(numbered, quoted))
        return TextRows(
            tuple(header),
            frozenset(kept),
            pa.RecordBatchReader.from_batches(schema, stream),
            ragged=ragged,
        )

    def _closed(
        self, batches: "Iterator[_Numbered]", quoted: "_QuoteCounter"
    ) -> Iterator[pa.RecordBatch]:
        """The batches; an error where the last row is the rest of an open quote."""
        last: _Numbered | None = None
        for last in batches:
            yield last.batch
        if last and last.ends_within and quoted.n % 2:
            raise self._unclosed(last.ends_within)

    def _unclosed(self, line: int) -> RefusedFileError:
        return self.refused(
            "unclosed_quote",
            f"line {line} or one near it opens a quote and never closes it",
            'Write a quote within a quoted field as "".',
        )

    def _set_aside(self, ragged: list[Ragged], lines: int) -> Any:
        """What the CSV reader does with a row of another length."""

        def set_aside(row: pacsv.InvalidRow) -> str:
            place = (row.number or 0) - lines - 1
            if row.text.count('"') % 2:
                self.fault = self._unclosed(lines + 1 + place)
                return "error"
            if len(ragged) >= MAX_RAGGED:
                self.fault = self.refused(
                    "ragged_file",
                    f"over {MAX_RAGGED:,} rows have more or fewer fields than the"
                    " header",
                    "Export it again; or declare its `delimiter` in sources.yaml.",
                )
                return "error"
            ragged.append(Ragged(place, row.text[:FIELD_BYTES]))
            return "skip"

        return set_aside

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches; keeps an error, of which DuckDB would leave the text only."""
        try:
            yield from batches
        except Exception as error:
            self.fault = self.fault or error
            raise

    def _has_rows(self, file: IO[bytes], lines: int) -> bool:
        """Whether anything follows the header; the reader fails on nothing."""
        file.seek(0)
        for _ in range(lines):
            file.readline()
        rest = file.read(4).strip(b"\r\n\x00")
        file.seek(0)
        return bool(rest)

    def _header(self, file: IO[bytes]) -> tuple[list[str], int]:
        encoding = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        try:
            text = io.TextIOWrapper(file, encoding=encoding, newline="")
            reader = csv.reader(text, delimiter=self.config.delimiter)
            header = [column.strip() for column in next(reader, [])]
            lines = reader.line_num
            text.detach()
        except UnicodeError:
            raise self._wrong_encoding() from None
        except csv.Error:
            raise self.refused(
                "unreadable_file",
                "line 1 is no header of a CSV file",
                "Export it again, with the names of the columns in line 1.",
            ) from None
        if not any(header):
            raise self.refused(
                "empty_file", "line 1 is empty", "Export it again, with a header."
            )
        return header, lines

    # -- names ----------------------------------------------------------------------

    @property
    def _known(self) -> frozenset[str]:
        return frozenset(column.name for column in self.entity.columns)

    def _canonical(self, columns: Sequence[str]) -> list[str]:
        """Names as the contract spells them, whatever their case."""
        found = [c.lower() if c.lower() in self._known else c for c in columns]
        repeated = [c for place, c in enumerate(found) if c in found[:place]]
        if repeated:
            raise self.refused(
                "duplicate_column",
                f"line 1 names column {repeated[0]!r} twice",
                "Rename or remove one of them.",
            )
        return found

    def _require(self, columns: Sequence[str]) -> None:
        missing = [c for c in self.entity.required if c not in columns]
        if not missing:
            return
        found = [c for c in columns if c not in self._known]
        hints = [
            f"{column!r} is missing"
            + (f" ({near!r} is there)" if (near := _near(column, found)) else "")
            for column in missing
        ]
        cure = (
            f"{self.entity.name} needs {', '.join(self.entity.required)}; rename or"
            " add it."
        )
        other = next((c for c in ";\t|" if len(columns) == 1 and c in columns[0]), None)
        if other:
            cure = f"Declare `delimiter: {other!r}` for the source in sources.yaml."
        raise self.refused(
            "missing_column", f"line 1: required column {', '.join(hints)}", cure
        )

    # -- JSON lines -----------------------------------------------------------------

    def _jsonl(self, file: IO[bytes]) -> TextRows:
        paths, usual = self._paths(file)
        file.seek(0)
        lines = pacsv.open_csv(
            file,
            read_options=pacsv.ReadOptions(
                column_names=["_json"],
                block_size=BLOCK_BYTES,
                encoding=self.config.encoding,
                use_threads=False,
            ),
            # One column: the separator cannot occur in JSON text.
            parse_options=pacsv.ParseOptions(
                delimiter="\x01", quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={"_json": pa.string()}, strings_can_be_null=False
            ),
        )
        schema = _schema({"_json": pa.string()})
        batches = pa.RecordBatchReader.from_batches(
            schema, self._watched(n.batch for n in _numbered(lines, ["_json"], [], 1))
        )
        read = [c.name for c in self.entity.columns]
        found = ", ".join(_quoted(f'$."{paths.get(name, name)}"') for name in read)
        values = ", ".join(
            f"case when left(_values[{place}], 1) in ('{{', '[') and json_type(_json,"
            f" {_quoted(chr(36) + '.' + chr(34) + paths.get(name, name) + chr(34))})"
            f" in ('OBJECT', 'ARRAY') then {_quoted(NESTED)} else _values[{place}] end"
            f' as "{name}"'
            for place, name in enumerate(read, start=1)
        )
        # Lines of one writer have the same keys: most are told by one comparison.
        keys = "json_keys(_json)"
        listed = f"[{', '.join(map(_quoted, usual))}]"
        relation = f"""(
            select {values}, _line, _json_fault
            from (
                select *,
                    case when _is_object then json_extract_string(_json, [{found}]) end
                        as _values,
                    case when not _is_object then 'malformed_json|'
                        when {keys} = {listed} then null
                        when list_unique({keys}) < len({keys}) then 'repeated_key|'
                    end as _json_fault
                from (
                    select *, coalesce(left(ltrim(_json), 1) = '{{', false)
                        and json_valid(_json) as _is_object
                    from incoming
                )
            )
        )"""
        extra = [name for name in paths.values() if name.lower() not in self._known]
        return TextRows(
            (*read, *extra), frozenset(read), batches, relation, "_json_fault"
        )

    def _paths(self, file: IO[bytes]) -> tuple[dict[str, str], list[str]]:
        """Keys of the first lines by the contract's name, and those of the first."""
        keys: dict[str, None] = {}
        usual: list[str] = []
        n_objects = 0
        for _ in range(PEEKED_LINES):
            line = file.readline(FIELD_BYTES)
            if not line:
                break
            try:
                text = line.decode(self._encoding).lstrip("\ufeff")
                content = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                n_objects += 1
                usual = usual or list(content)
                keys |= dict.fromkeys(str(key) for key in content)
        if n_objects:
            canonical = {key.lower(): key for key in keys if key.lower() in self._known}
            canonical |= {key: key for key in keys if key in self._known}
            others = [key for key in keys if key.lower() not in self._known]
            self._require([*canonical, *others])
            return canonical | {key: key for key in others}, usual
        return {}, usual

    # -- Parquet --------------------------------------------------------------------

    def _parquet(self) -> TextRows:
        try:
            file = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError):
            raise self.refused(
                "unreadable_file",
                "this is no whole Parquet file",
                "Export it again; nothing of it was taken.",
            ) from None
        self._require_plausible_size(file.metadata)
        names = self._canonical(file.schema_arrow.names)
        self._require(names)
        places = [i for i, name in enumerate(names) if name in self._known]
        kept = [names[i] for i in places]
        fields = [file.schema_arrow.field(i) for i in places]
        for name, about in zip(kept, fields, strict=True):
            self._require_type(name, about.type)
        schema = _schema({n: f.type for n, f in zip(kept, fields, strict=True)})
        stream = self._watched(_counted(file, [f.name for f in fields], schema))
        return TextRows(
            tuple(names),
            frozenset(kept),
            pa.RecordBatchReader.from_batches(schema, stream),
            floating=frozenset(
                name
                for name, about in zip(kept, fields, strict=True)
                if pa.types.is_floating(about.type)
            ),
        )

    def _require_plausible_size(self, about: pq.FileMetaData) -> None:
        """Refuse a bomb by what the file says of itself, before anything is read."""
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        unpacked = max(about.num_rows, sum(group.total_byte_size for group in groups))
        if unpacked > _unpacked_limit(self.path):
            raise self._bomb()

    def _bomb(self) -> RefusedFileError:
        return self.refused(
            "too_large",
            f"it unpacks to over {MAX_RATIO} times its size",
            "If that is right, deliver it unpacked or in several files.",
        )

    def _require_type(self, name: str, found: pa.DataType) -> None:
        kind = next(c.kind for c in self.entity.columns if c.name == name)
        is_id = kind in ("id", "person")
        if pa.types.is_nested(found) or pa.types.is_binary(found):
            raise self.refused(
                "wrong_type",
                f"column {name!r} holds {found}",
                "Write it as a column of text or plain values.",
            )
        if is_id and (pa.types.is_floating(found) or pa.types.is_decimal(found)):
            raise self.refused(
                "wrong_type",
                f"column {name!r} holds ids as {found}, which loses digits and zeros",
                "Write ids as text.",
            )


@dataclass(frozen=True)
class _Numbered:
    """A batch with its lines; where its last row spans several, the first of them."""

    batch: pa.RecordBatch
    ends_within: int


class _QuoteCounter(io.RawIOBase):
    """A file that counts the quotes read from it: an odd number leaves one open."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.n = file, 0

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.n += content.count(b'"')
        return content

    def readable(self) -> bool:
        return True


class _Unpacked(io.RawIOBase):
    """A gzip file that stops where it grows beyond what text does."""

    def __init__(self, packed: IO[bytes], reader: Reader) -> None:
        self.packed, self.reader = packed, reader
        self.file = gzip.GzipFile(fileobj=packed, mode="rb")
        self.limit = _unpacked_limit(reader.path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.file.read(len(buffer))
        if self.file.tell() > self.limit:
            self.reader.fault = self.reader._bomb()
            raise self.reader.fault
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def close(self) -> None:
        self.file.close()
        self.packed.close()
        super().close()


def _unpacked_limit(path: Path) -> int:
    """Bytes beyond which what a file unpacks to is a bomb."""
    return max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)


def _numbered(
    batches: pa.RecordBatchReader, kept: list[str], ragged: list[Ragged], first: int
) -> Iterator[_Numbered]:
    """The batches with the line on which each row begins; blank lines left out.

    `ragged` grows while blocks are read, and gets its lines here.
    """
    n_rows, line, done = 0, first, 0
    for batch in batches:
        n = batch.num_rows
        inside = np.zeros(n, np.int64)
        for column in batch.columns:
            newlines = pc.count_substring(column, "\n")
            if pc.max(newlines).as_py():
                inside += newlines.to_numpy(zero_copy_only=False)
        lines = line + np.arange(n + 1) + np.concatenate([[0], np.cumsum(inside)])
        shifts = np.zeros(n + 1, np.int64)
        shift = 0
        while done < len(ragged) and ragged[done].place - done - n_rows <= n:
            row = ragged[done]
            before = row.place - done - n_rows
            row.line = int(lines[before]) + shift
            shift += 1 + row.text.count("\n")
            shifts[before] += 1 + row.text.count("\n")
            done += 1
        lines += np.cumsum(shifts)
        line = int(lines[n])
        n_rows += n
        numbered = pa.RecordBatch.from_arrays(
            [*(batch.column(name) for name in kept), pa.array(lines[:n])],
            names=[*kept, "_line"],
        )
        full = _any_text(batch)
        yield _Numbered(
            numbered if full is None else numbered.filter(full),
            int(lines[n - 1]) if n and inside[-1] else 0,
        )
    for row in ragged[done:]:
        row.line = line
        line += 1 + row.text.count("\n")


def _any_text(batch: pa.RecordBatch) -> Any:
    """Which rows hold anything; None where all do."""
    empty = pc.equal(pc.binary_length(batch.column(0)), 0)
    if not pc.any(empty).as_py():
        return None
    for column in batch.columns[1:]:
        empty = pc.and_(empty, pc.equal(pc.binary_length(column), 0))
    return pc.invert(empty)


def _counted(
    file: pq.ParquetFile, columns: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches of the columns wanted, with the row's number as its line."""
    first = 1
    for batch in file.iter_batches(200_000, columns=columns):
        lines = pa.array(np.arange(first, first + batch.num_rows))
        first += batch.num_rows
        yield pa.RecordBatch.from_arrays(
            [*(batch.column(name) for name in columns), lines], schema=schema
        )


def _schema(types: dict[str, Any]) -> pa.Schema:
    """The schema of a stream: columns of the file, then the line."""
    return pa.schema({**types, "_line": pa.int64()})


def _no_rows(columns: Sequence[str]) -> pa.RecordBatchReader:
    empty = {c: pa.array([], pa.string()) for c in columns}
    return pa.table({**empty, "_line": pa.array([], pa.int64())}).to_reader()


def _near(name: str, known: Sequence[str]) -> str:
    hint = likely(name, list(known))
    return hint.split("'")[1] if hint else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
