"""Performance reviews and employees, from the exports of an HR system.

Which column is which is declared (`columns`), or taken from a preset for a known system
(reviews.yaml). Columns that are not mapped are not read, so no comment is.
"""

import csv
import datetime as dt
import difflib
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from orchestration.sources import SourceError
from orchestration.sources.connector import Access, Connector
from orchestration.sources.mirror import Mirror

__all__ = ["Reviews"]

EMPLOYEES = (
    "employee_id", "application_id", "work_email", "full_name", "hired_on", "left_on",
    "leave_reason", "department", "job_id", "manager_id",
)  # fmt: skip
REVIEWS = (
    "review_id", "employee_id", "cycle", "reviewed_on", "rating", "rating_min",
    "rating_max", "kind", "reviewer_id", "period_start", "period_end",
)  # fmt: skip
KINDS = ("manager", "self", "peer", "calibrated", "hire_survey")
# What tells a review apart where the export has no id for it.
_KEY = ("employee_id", "cycle", "kind", "reviewer_id", "reviewed_on", "period_start")
_TARGETS = {
    *EMPLOYEES, *REVIEWS, "reviewer_email", "status",
    *(f"rating.{kind}" for kind in KINDS),
}  # fmt: skip
_DATES = ("hired_on", "left_on", "reviewed_on", "period_start", "period_end")
_FORMS = (".csv", ".xlsx", ".jsonl", ".ndjson", ".parquet")
_ODATA = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# From so many people a spelling is a level of a scale, and not what one of them wrote.
_SHARED = 5

Row = dict[str, str]


@dataclass(frozen=True)
class _Sheet:
    """A file, or a sheet of one: its header, and its rows by column."""

    name: str
    header: Sequence[str]
    rows: Callable[[Sequence[str]], Iterator[Row]]


@dataclass
class _Mapping:
    """Which column is which.

    Attributes
    ----------
    columns : mapping of str to tuple of str
        Column of the export to what it is here.
    constants : mapping of str to str
        What is the same for all rows.
    only : mapping of str to str
        Columns whose rows count only if they hold this.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    only: dict[str, str] = field(default_factory=dict)
    preset: str = ""
    statuses: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def targets(self) -> set[str]:
        """What is known of a row."""
        told = {target for targets in self.columns.values() for target in targets}
        return told | set(self.constants)

    @property
    def kinds(self) -> list[str]:
        """Kinds of the rating columns; "" for one that `kind` may tell."""
        found = {target for target in self.targets if target.startswith("rating.")}
        found_kinds = [kind for kind in KINDS if f"rating.{kind}" in found]
        return [*found_kinds, *([""] if "rating" in self.targets else [])]


@dataclass
class _Made:
    """What the files come to."""

    reviews: list[Row] = field(default_factory=list)
    employees: dict[str, Row] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    sheets: dict[str, str] = field(default_factory=dict)


class Reviews(Connector):
    """Reads a file or a folder of an HR system's exports."""

    translation: ClassVar[str] = "reviews.sql"

    def read(self, mirror: Mirror, *, full: bool) -> None:
        """Keep nothing: the exports are read when they are translated."""
        self.report.is_full = True

    def relations(self, connection: duckdb.DuckDBPyConnection, mirror: Mirror) -> None:
        """Make `employees` and `reviews` of the exports.

        Raises
        ------
        SourceError
            If a file cannot be read, a column cannot be told, or the scale is unknown.
        """
        made = self._made()
        self.report.notes += [*made.notes, *self._counted(made)]
        people = [row for row in made.employees.values() if row.get("hired_on")]
        for name, columns, rows in (
            ("employees", EMPLOYEES, people),
            ("reviews", REVIEWS, made.reviews),
        ):
            self.report.records[name] = len(rows)
            table = pa.table(
                {
                    one: pa.array([row.get(one) or None for row in rows], pa.string())
                    for one in columns
                }
            )
            connection.register("incoming", table)
            connection.execute(f"create table {name} as select * from incoming")
            connection.unregister("incoming")

    def check(self) -> list[Access]:
        """Return which files and columns are there, and what is missing."""
        try:
            made = self._made()
        except SourceError as error:
            return [Access("location", "fault", str(error))]
        found = [Access(name, "ok", told) for name, told in made.sheets.items()]
        n_people = sum(bool(row.get("hired_on")) for row in made.employees.values())
        found.append(
            Access("performance_reviews", "ok", f"{len(made.reviews):,} reviews")
            if made.reviews
            else Access(
                "performance_reviews",
                "warning",
                "no review",
                "map the column of the rating in `columns`",
            )
        )
        found.append(
            Access("employees", "ok", f"{n_people:,} of {len(made.employees):,} people")
            if n_people
            else Access(
                "employees",
                "warning",
                "nobody with a date of hiring",
                "map a column to hired_on; without it hires are not found in the HR"
                " system, unless another source delivers employees",
            )
        )
        counted = self._counted(made)
        found += [Access("rows left out", "warning", note) for note in counted]
        return found

    def _counted(self, made: _Made) -> list[str]:
        """What is told of rows that are not delivered."""
        notes = [f"{n:,} {what}" for what, n in sorted(made.left_out.items())]
        if made.unmapped:
            shared = sorted(one for one, n in made.unmapped.items() if n >= _SHARED)
            spelled = ", ".join(f"`{one}`" for one in shared[:12] if len(one) <= 40)
            n = sum(made.unmapped.values())
            notes.append(
                f"unmapped: {n:,} ratings are words that `scale` of the source does not"
                " know, left out"
                + (f"; the frequent ones: {spelled}" if spelled else "")
            )
        unhired = sum(not row.get("hired_on") for row in made.employees.values())
        if unhired:
            notes.append(f"{unhired:,} employees without hired_on, left out")
        return notes

    # -- rows ---------------------------------------------------------------------

    def _made(self) -> _Made:
        made = _Made()
        declared = self._declared()
        met: set[str] = set()
        sheets = list(self._sheets())
        for sheet in sheets:
            mapping = self._mapping(sheet, declared)
            met |= {_plain(one) for one in sheet.header}
            if mapping is None:
                made.notes.append(f"{sheet.name}: no column of it is known; not read")
                continue
            taken = f"preset {mapping.preset}" if mapping.preset else "columns"
            made.notes.append(f"{sheet.name}: read by {taken}")
            before = len(made.reviews)
            n = self._take(made, sheet, mapping)
            made.sheets[sheet.name] = (
                f"{n:,} rows by {taken}, {len(made.reviews) - before:,} reviews"
            )
        if not made.sheets:
            raise SourceError(self._nothing(sheets))
        for column in (*declared.columns, *declared.only):
            if _plain(column) not in met:
                header = {one for sheet in sheets for one in sheet.header}
                raise SourceError(
                    f"{self.name}: columns: no file has a column `{column}`"
                    f"{_nearest(column, header)}"
                )
        made.reviews = _told_once(made)
        return made

    def _take(self, made: _Made, sheet: _Sheet, mapping: _Mapping) -> int:
        """Take the rows of a sheet, and return how many there were."""
        wanted = _in_header(sheet.header, (*mapping.columns, *mapping.only))
        n = 0
        for raw in sheet.rows(list(wanted.values())):
            n += 1
            if any(raw[wanted[k]] != text for k, text in mapping.only.items()):
                made.left_out["rows that `only=` leaves out"] += 1
                continue
            row = dict(mapping.constants)
            told: Row = {}
            for column, targets in mapping.columns.items():
                value = raw[wanted[column]] if column in wanted else ""
                for target in targets:
                    told[target] = told.get(target) or value
            row |= {target: value for target, value in told.items() if value}
            self._person(made, row)
            self._review(made, sheet, mapping, row)
        return n

    def _person(self, made: _Made, row: Row) -> None:
        """Who a row is about: the id, else one that is made of the work e-mail."""
        if not row.get("employee_id") and row.get("work_email"):
            row["employee_id"] = _id_of(row["work_email"])
        if not row.get("reviewer_id") and row.get("reviewer_email"):
            row["reviewer_id"] = _id_of(row["reviewer_email"])
        for name in _DATES:
            if row.get(name):
                row[name] = self._date(row[name])
        if not row.get("employee_id"):
            return
        known = made.employees.setdefault(row["employee_id"], {})
        is_newer = row.get("reviewed_on", "") >= known.get("reviewed_on", "")
        for name in (*EMPLOYEES, "reviewed_on"):
            if row.get(name) and (is_newer or not known.get(name)):
                known[name] = row[name]

    def _review(self, made: _Made, sheet: _Sheet, mapping: _Mapping, row: Row) -> None:
        """The reviews of a row: one for each kind of rating that it holds."""
        if not mapping.kinds:
            return
        if not row.get("employee_id"):
            made.left_out["rows that name no employee, left out"] += 1
            return
        state = self._state(mapping, row.get("status", ""))
        if state == "incomplete":
            made.left_out["reviews that are not complete, left out"] += 1
            return
        if state == "unknown":
            made.left_out["reviews with a status that is not known, delivered"] += 1
        for kind in mapping.kinds:
            spelled = row.get(f"rating.{kind}" if kind else "rating", "")
            if spelled in (*self.source.missing, *mapping.missing, ""):
                made.left_out["ratings that are empty, left out"] += 1
                continue
            named = kind or _kind(row.get("kind", ""))
            if named is None:
                made.left_out["reviews of a kind that is not known, left out"] += 1
                continue
            rating = self._rating(spelled)
            if rating is None:
                made.unmapped[spelled] += 1
                continue
            review = {name: row[name] for name in REVIEWS if row.get(name)}
            review |= {"rating": rating, "kind": named}
            review |= self._bounds(sheet, row, spelled)
            if review.get("review_id") and len(mapping.kinds) > 1 and kind:
                review["review_id"] += f"/{kind}"
            made.reviews.append(review)

    def _state(self, mapping: _Mapping, status: str) -> str:
        """Whether a review is complete."""
        if not status:
            return "complete"
        own = mapping.statuses.get(status)
        if own:
            return own
        words = _known()["statuses"]
        plain = _plain(status)
        return next((s for s in words if plain in words[s]), "unknown")

    def _rating(self, spelled: str) -> str | None:
        """A rating as a number: as the scale says, else one that is written as such."""
        if spelled in self.source.scale:
            return _written(self.source.scale[spelled])
        plain = spelled.removesuffix("%").strip()
        return plain if _NUMBER.fullmatch(plain) else None

    def _bounds(self, sheet: _Sheet, row: Row, spelled: str) -> Row:
        """The ends of the scale that a rating is on."""
        if spelled.endswith("%"):
            return {"rating_min": "0", "rating_max": "100"}
        scale = self.source.scale.values()
        lowest, highest = row.get("rating_min"), row.get("rating_max")
        lowest = lowest or (_written(min(scale)) if scale else None)
        highest = highest or (_written(max(scale)) if scale else None)
        if lowest is None or highest is None:
            end = "rating_min" if lowest is None else "rating_max"
            raise SourceError(
                f"{self.name}: {sheet.name}: nothing tells {end}. Write"
                ' `columns: {"=1": rating_min, "=5": rating_max}` with the ends of the'
                " scale, or `scale` of the source"
            )
        return {"rating_min": lowest, "rating_max": highest}

    def _date(self, text: str) -> str:
        """A date as landing reads dates of this source."""
        odata = _ODATA.fullmatch(text)
        if odata:
            at = dt.datetime.fromtimestamp(int(odata[1]) / 1000, dt.UTC)
            text = at.date().isoformat()
        is_time = re.match(r"\d{4}-\d\d-\d\d[T ]", text)
        day = text[:10] if is_time or re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
        if day and self.source.date_format:
            # Landing reads all dates of a source in the one format that is declared.
            try:
                return dt.date.fromisoformat(day).strftime(self.source.date_format)
            except ValueError:
                return text
        return day or text

    # -- columns ------------------------------------------------------------------

    def _declared(self) -> _Mapping:
        """What sources.yaml says of columns."""
        mapping = _Mapping()
        for column, targets in self.config.columns.items():
            if column == "preset":
                if targets not in _known()["presets"]:
                    raise SourceError(
                        f"{self.name}: columns: there is no preset {targets}"
                        f"{_nearest(targets, set(_known()['presets']))}; there are"
                        f" {', '.join(_known()['presets'])}"
                    )
                mapping.preset = targets
                continue
            if targets.startswith("only="):
                mapping.only[column] = targets.removeprefix("only=")
                continue
            names = tuple(one.strip() for one in targets.split(","))
            for name in names:
                if name not in _TARGETS:
                    raise SourceError(
                        f"{self.name}: columns: {column}: {name} is no column here"
                        f"{_nearest(name, _TARGETS)}; see docs/connectors.md"
                    )
            if column.startswith("="):
                mapping.constants |= dict.fromkeys(names, column[1:])
            else:
                mapping.columns[column] = names
        return mapping

    def _mapping(self, sheet: _Sheet, declared: _Mapping) -> _Mapping | None:
        """Which column of a sheet is which; None where none is known."""
        preset = declared.preset
        own = _in_header(sheet.header, (*declared.columns, *declared.only))
        if not preset and not own:
            preset = self._detected(sheet)
            if not preset:
                return None
        about = _known()["presets"].get(preset, {})
        columns = {
            column: (target,) if isinstance(target, str) else tuple(target)
            for column, target in about.get("columns", {}).items()
        }
        # What is declared counts first, and instead of the preset's word for a column.
        declared_plain = {_plain(one) for one in declared.columns}
        chosen = {
            **declared.columns,
            **{k: v for k, v in columns.items() if _plain(k) not in declared_plain},
        }
        present = _in_header(sheet.header, tuple(chosen))
        if not present:
            return None
        mapping = _Mapping(
            {k: v for k, v in chosen.items() if k in present},
            declared.constants,
            {k: v for k, v in declared.only.items() if k in own},
            preset,
            about.get("statuses", {}),
            tuple(about.get("missing", ())),
        )
        self._complete(sheet, mapping)
        return mapping

    def _detected(self, sheet: _Sheet) -> str:
        """The one preset whose columns are all there."""
        header = {_plain(one) for one in sheet.header}
        fitting = [
            name
            for name, about in _known()["presets"].items()
            if {_plain(one) for one in about["detect"]} <= header
        ]
        if len(fitting) > 1:
            raise SourceError(
                f"{self.name}: {sheet.name} looks like {' and '.join(fitting)}; write"
                " `columns: {preset: NAME}`"
            )
        return fitting[0] if fitting else ""

    def _complete(self, sheet: _Sheet, mapping: _Mapping) -> None:
        """See that what a review needs is told."""
        told = mapping.targets
        needed = []
        if not told & {"employee_id", "work_email"}:
            needed.append("employee_id")
        if mapping.kinds:
            needed += [one for one in ("cycle", "reviewed_on") if one not in told]
        if needed:
            near = "; ".join(
                f"{one}{_nearest(one.replace('_', ' '), set(sheet.header))}"
                for one in needed
            )
            raise SourceError(
                f"{self.name}: {sheet.name}: no column is mapped to {near}. Write"
                " `columns: {<column>: "
                + needed[0]
                + '}`, or `"=2026-H1": cycle` for what is the same in all rows. It has'
                f" {', '.join(sheet.header)}"
            )

    def _nothing(self, sheets: Sequence[_Sheet]) -> str:
        names = "; ".join(f"{one.name}: {', '.join(one.header)}" for one in sheets)
        return (
            f"{self.name}: no preset fits the columns. Write `columns` (column of the"
            f" export to column here), or `columns: {{preset: NAME}}` with one of"
            f" {', '.join(_known()['presets'])}. There is {names or 'no file'}"
        )

    # -- files --------------------------------------------------------------------

    def _sheets(self) -> Iterator[_Sheet]:
        location = self.config.location
        if not location:
            raise SourceError(
                f"{self.name}: sources.yaml names no location; write the file or the"
                " folder of the export"
            )
        path = Path(location).expanduser()
        if path.is_dir():
            paths = [
                one
                for one in sorted(path.iterdir())
                if one.suffix.lower() in _FORMS
                and one.is_file()
                and not one.is_symlink()
                and not one.name.startswith((".", "~$"))
            ]
        else:
            paths = [path]
        for one in paths:
            yield from self._read_file(one)

    def _read_file(self, path: Path) -> Iterator[_Sheet]:
        readers = {
            ".csv": self._csv,
            ".xlsx": _xlsx,
            ".jsonl": _jsonl,
            ".ndjson": _jsonl,
            ".parquet": _parquet,
        }
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise SourceError(
                f"{self.name}: {path.name} ends in none of {', '.join(_FORMS)}"
            )
        try:
            for sheet in reader(path):
                repeated = [
                    one
                    for one, n in Counter(map(_plain, sheet.header)).items()
                    if n > 1
                ]
                if repeated:
                    raise SourceError(
                        f"{self.name}: {sheet.name} has the column `{repeated[0]}`"
                        " twice"
                    )
                yield sheet
        except SourceError:
            raise
        except Exception as error:
            # The text of the error may hold values of a record.
            raise SourceError(
                f"{self.name}: {path.name} cannot be read ({type(error).__name__});"
                " look at encoding and delimiter of the source, or export it again"
            ) from None

    def _csv(self, path: Path) -> Iterator[_Sheet]:
        encoding = self.source.encoding
        if encoding.lower().replace("-", "") == "utf8":
            encoding = "utf-8-sig"
        with path.open(newline="", encoding=encoding) as file:
            lines = list(csv.reader(file, delimiter=self.source.delimiter))
        yield from _table(path.name, lines)


def _xlsx(path: Path) -> Iterator[_Sheet]:
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            lines = [[_cell(one) for one in line] for line in sheet.iter_rows()]
            yield from _table(f"{path.name}, {sheet.title}", lines)
    finally:
        book.close()


def _cell(cell: Any) -> str:
    """What a cell shows."""
    value = cell.value
    shown = str(getattr(cell, "number_format", "") or "")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "%" in shown:
        return f"{_written(round(value * 100, 6))}%"
    return _text(value)


def _table(name: str, lines: list[list[str]]) -> Iterator[_Sheet]:
    """The sheet below the first line that is no title: it has several columns."""
    filled = [line for line in lines if any(one.strip() for one in line)]
    start = next((n for n, line in enumerate(filled) if sum(map(bool, line)) > 1), None)
    if start is None:
        return
    header = [one.strip() for one in filled[start]]

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        places = {one: header.index(one) for one in wanted}
        for line in filled[start + 1 :]:
            yield {
                one: line[n].strip() if n < len(line) else ""
                for one, n in places.items()
            }

    yield _Sheet(name, [one for one in header if one], rows)


def _jsonl(path: Path) -> Iterator[_Sheet]:
    with path.open(encoding="utf-8-sig") as file:
        records = [_flat(json.loads(line)) for line in file if line.strip()]
    header = list(dict.fromkeys(name for record in records for name in record))

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        for record in records:
            yield {one: _text(record.get(one)) for one in wanted}

    yield _Sheet(path.name, header, rows)


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A record with its nested names joined by dots; lists are left out."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        elif not isinstance(value, list):
            found[f"{before}{name}"] = value
    return found


def _parquet(path: Path) -> Iterator[_Sheet]:
    header = list(pq.read_schema(path).names)

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        for batch in pq.ParquetFile(path).iter_batches(columns=list(wanted)):
            for record in batch.to_pylist():
                yield {one: _text(record.get(one)) for one in wanted}

    yield _Sheet(path.name, header, rows)


# -- small parts ------------------------------------------------------------------


@cache
def _known() -> dict[str, Any]:
    """The presets, and the words that are known."""
    path = Path(__file__).with_suffix(".yaml")
    known: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return known


def _told_once(made: _Made) -> list[Row]:
    """The reviews, each with an id and told once.

    A review that is told with several ratings is told by question: which of them is the
    overall one is not guessed. Peers without a name are as many as there are rows.
    """
    kept: list[Row] = []
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for review in made.reviews:
        if review.get("review_id"):
            kept.append(review)
        else:
            alike[tuple(review.get(name, "") for name in _KEY)].append(review)
    for key, reviews in alike.items():
        id_ = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        is_nameless = reviews[0]["kind"] == "peer" and not reviews[0].get("reviewer_id")
        if is_nameless:
            ordered = sorted(reviews, key=lambda one: float(one["rating"]))
            for n, review in enumerate(ordered, start=1):
                kept.append({**review, "review_id": f"{id_}/{n}"})
            continue
        if len({one["rating"] for one in reviews}) > 1:
            made.left_out[
                "rows that give one review several ratings, left out; if each is a"
                ' question, write `columns: {<question>: "only=<the overall one>"}`'
            ] += len(reviews)
            continue
        kept.append({**reviews[0], "review_id": id_})
    return kept


def _kind(spelled: str) -> str | None:
    """A kind of the contract; "" where none is told, None for one that it has not."""
    if not spelled:
        return ""
    plain = _plain(spelled)
    return next((k for k, words in _known()["kinds"].items() if plain in words), None)


def _in_header(header: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Column as it is declared to column as it is there."""
    there = {_plain(one): one for one in header}
    return {one: there[_plain(one)] for one in columns if _plain(one) in there}


def _plain(name: str) -> str:
    """A name without case, with blanks for all but letters, digits, # and dots."""
    return " ".join(re.sub(r"[^\w#.]|_", " ", name.lower()).split())


def _nearest(name: str, known: set[str]) -> str:
    by_plain = {_plain(one): one for one in sorted(known)}
    near = difflib.get_close_matches(_plain(name), list(by_plain), n=1, cutoff=0.5)
    return f" (the nearest is `{by_plain[near[0]]}`)" if near else ""


def _id_of(address: str) -> str:
    """An id for who is known by a work e-mail only, without the e-mail in it."""
    return "email-" + hashlib.sha256(address.strip().lower().encode()).hexdigest()[:16]


def _written(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _text(value: Any) -> str:
    """A value of a typed file as text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else _written(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return str(value).strip()
