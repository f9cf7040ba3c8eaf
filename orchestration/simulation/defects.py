"""Named faults of delivered data, each put into a written inbox one at a time.

Every gate has the defects it must notice; a gate that lets its defect through is
broken, whatever else it stops. "A few" rows are one in a hundred and at least one: of
the few reviews and offers of a tiny company, that one is more than a gate allows.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from orchestration.settings import SettingsError

Gate = Literal["landing", "quarantine", "raw", "marts", "reports"]
Apply = Callable[[Path, np.random.Generator], None]
# Its stubs do not know the columns of a table.
pc: Any = pyarrow.compute
YEAR_AHEAD = dt.timedelta(days=365)


@dataclass(frozen=True)
class Defect:
    """One fault, and what must notice it.

    `gate` is where it is noticed: `landing` refuses the file, `quarantine` sets rows
    aside and goes on, the others are gates. `notice` is the code or the measure that
    names it. `stops` is whether nothing may be published; a warning does not stop.
    `needs_baseline` is whether it shows only against an earlier generation.
    """

    name: str
    description: str
    gate: Gate
    notice: str
    apply: Apply
    stops: bool = True
    needs_baseline: bool = False


def defect(name: str) -> Defect:
    """Return a defect by name.

    Raises
    ------
    SettingsError
        If there is no such defect; the message lists those there are.
    """
    if name not in DEFECTS:
        raise SettingsError(f"unknown defect {name!r}; known: {', '.join(DEFECTS)}")
    return DEFECTS[name]


# -- files --------------------------------------------------------------------------


def _file(inbox: Path, entity: str) -> Path:
    """The file of an entity, whichever source delivers it."""
    found = sorted(
        path for path in inbox.glob("*/*") if path.name.split(".")[0] == entity
    )
    if not found:
        raise SettingsError(f"{inbox} has no file of {entity} to put a defect into")
    return found[0]


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with path.open(encoding="utf-8-sig") as file:
        names = file.readline().rstrip("\r\n").split(",")
    return pacsv.read_csv(
        path,
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _write(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, compression="zstd")
    else:
        pacsv.write_csv(table, path)


def _as_csv(path: Path) -> Path:
    """The same file as CSV: some faults are of text."""
    if path.suffix != ".parquet":
        return path
    target = path.with_suffix(".csv")
    pacsv.write_csv(_read(path), target)
    path.unlink()
    return target


def _set(table: pa.Table, column: str, values: Any) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(place, column, values)


def _some(
    table: pa.Table, rng: np.random.Generator, share: float
) -> npt.NDArray[np.bool_]:
    """A share of the rows, at least one of them."""
    n = table.num_rows
    chosen = np.zeros(n, dtype=bool)
    chosen[rng.choice(n, max(1, round(share * n)), replace=False)] = True
    return chosen


def _change(
    entity: str,
    column: str,
    value: str | None,
    *,
    share: float = 1.0,
    where: tuple[str, str] | None = None,
) -> Apply:
    """Overwrite a column in a share of the rows; as text, as a source spells it."""

    def apply(inbox: Path, rng: np.random.Generator) -> None:
        path = _file(inbox, entity)
        table = _read(path)
        chosen = _some(table, rng, share)
        if where:
            chosen &= np.array(
                [v == where[1] for v in table[where[0]].to_pylist()], dtype=bool
            )
        kept = table[column].cast(pa.string())
        changed = pc.if_else(pa.array(chosen), pa.scalar(value, pa.string()), kept)
        _write(path, _set(table, column, changed))

    return apply


def _rename(entity: str, column: str, *, share: float) -> Apply:
    """Give ids that nothing else has to a share of the rows; each keeps its own."""

    def apply(inbox: Path, rng: np.random.Generator) -> None:
        path = _file(inbox, entity)
        table = _read(path)
        kept = table[column].cast(pa.string())
        other = pc.binary_join_element_wise("none-", kept, "")
        chosen = pa.array(_some(table, rng, share))
        _write(path, _set(table, column, pc.if_else(chosen, other, kept)))

    return apply


def _shift(entity: str, column: str, other: str, days: int, *, share: float) -> Apply:
    """Move a time to some days after (or before) another one of the same row."""

    def apply(inbox: Path, rng: np.random.Generator) -> None:
        path = _file(inbox, entity)
        table = _read(path)
        chosen = pa.array(_some(table, rng, share))
        moved = _moved(table[other], days)
        there = pc.and_(chosen, pc.is_valid(moved))
        kept = table[column].cast(moved.type)
        _write(path, _set(table, column, pc.if_else(there, moved, kept)))

    return apply


def _moved(times: Any, days: int) -> Any:
    """Times some days later, in the type of the column."""
    if pa.types.is_date(times.type):
        return pc.cast(pc.add(pc.cast(times, pa.int32()), days), times.type)
    stamps = times.cast(pa.timestamp("us"))
    return pc.add(stamps, pa.scalar(days * 86_400_000_000, pa.duration("us")))


def _days_after(value: Any, days: int) -> Any:
    return value + dt.timedelta(days=days)


# -- landing ------------------------------------------------------------------------


def _empty_inbox(inbox: Path, _: np.random.Generator) -> None:
    for path in inbox.rglob("*"):
        if path.is_file():
            path.unlink()


def _missing_required_column(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "applications")
    _write(path, _read(path).drop_columns(["applied_at"]))


def _renamed_column(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "scorecards")
    table = _read(path)
    names = ["scorecards_id" if n == "scorecard_id" else n for n in table.column_names]
    _write(path, table.rename_columns(names))


def _unknown_entity(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "applications")
    (path.parent / "aplications.csv").write_text("application_id\nA1\n")


def _unreadable_file(inbox: Path, rng: np.random.Generator) -> None:
    path = _file(inbox, "ratings")
    path.unlink()
    path.with_suffix(".parquet").write_bytes(b"PAR1" + rng.bytes(500))


def _empty_file(inbox: Path, _: np.random.Generator) -> None:
    _file(inbox, "applications").write_bytes(b"")


def _header_only(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "scorecards")
    _write(path, _read(path).slice(0, 0))


def _symlink(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "applications")
    outside = inbox.parent / f"moved-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


def _wrong_encoding(inbox: Path, _: np.random.Generator) -> None:
    path = _as_csv(_file(inbox, "jobs"))
    text = path.read_text(encoding="utf-8").rstrip("\n")
    first = text.rpartition("\n")[2]
    path.write_bytes(f"{text}\n{first[:-1]}\xe9\n".encode("latin-1", "replace"))


# -- rows ---------------------------------------------------------------------------


def _ragged_row(inbox: Path, _: np.random.Generator) -> None:
    path = _as_csv(_file(inbox, "ratings"))
    with path.open("a", encoding="utf-8") as file:
        file.write("S1,coding\n")


def _repeated_rows(inbox: Path, rng: np.random.Generator) -> None:
    path = _file(inbox, "scorecards")
    table = _read(path)
    _write(path, pa.concat_tables([table, table.filter(_some(table, rng, 0.01))]))


def _duplicate_keys(*, share: float, column: str = "source") -> Apply:
    """The same applications again with other content: none of them is the newer."""

    def apply(inbox: Path, rng: np.random.Generator) -> None:
        path = _file(inbox, "applications")
        table = _read(path)
        again = table.filter(pa.array(_some(table, rng, share)))
        other = pa.repeat(pa.scalar("another channel", pa.string()), again.num_rows)
        again = _set(again, column, other)
        _write(path, pa.concat_tables([table, again], promote_options="permissive"))

    return apply


def _scorecard_before_application(inbox: Path, rng: np.random.Generator) -> None:
    path = _file(inbox, "scorecards")
    table = _read(path)
    chosen = pa.array(_some(table, rng, 0.01))
    times = table["submitted_at"].cast(pa.timestamp("us"))
    first = pc.min(times).as_py()
    early = pa.scalar(_days_after(first, -900), pa.timestamp("us"))
    _write(path, _set(table, "submitted_at", pc.if_else(chosen, early, times)))


def _review_before_hire(inbox: Path, rng: np.random.Generator) -> None:
    path = _file(inbox, "performance_reviews")
    table = _read(path)
    chosen = pa.array(_some(table, rng, 0.01))
    early = pa.scalar("2001-01-01", pa.string())
    kept = table["reviewed_on"].cast(pa.string())
    _write(path, _set(table, "reviewed_on", pc.if_else(chosen, early, kept)))


# -- worlds -------------------------------------------------------------------------


def _truncated(entity: str) -> Apply:
    def apply(inbox: Path, _: np.random.Generator) -> None:
        path = _file(inbox, entity)
        table = _read(path)
        _write(path, table.slice(0, table.num_rows // 2))

    return apply


def _future_application(inbox: Path, rng: np.random.Generator) -> None:
    path = _file(inbox, "applications")
    table = _read(path)
    chosen = np.zeros(table.num_rows, dtype=bool)
    chosen[rng.integers(table.num_rows)] = True
    times = table["applied_at"].cast(pa.timestamp("us"))
    late = pa.scalar(_days_after(pc.max(times).as_py(), 400), pa.timestamp("us"))
    moved = pc.if_else(pa.array(chosen), late, times)
    _write(path, _set(table, "applied_at", moved))


def _bulk_close(inbox: Path, _: np.random.Generator) -> None:
    """Everything that ended did so in one night: in both tables that say when."""
    path = _file(inbox, "applications")
    table = _read(path)
    times = table["closed_at"].cast(pa.timestamp("us"))
    day = pc.max(times)
    closed = pc.if_else(pc.is_valid(times), day, times)
    _write(path, _set(table, "closed_at", closed))
    try:
        events = _file(inbox, "application_events")
    except SettingsError:
        return
    table = _read(events)
    same = pa.repeat(day, table.num_rows).cast(pa.timestamp("us"))
    _write(events, _set(table, "occurred_at", same))


def _hires_only(inbox: Path, _: np.random.Generator) -> None:
    """Only applications that were hired, and nothing that says otherwise."""
    path = _file(inbox, "applications")
    table = _read(path)
    hired = table.filter(pc.equal(table["status"], "hired"))
    kept = hired["application_id"]
    _write(path, hired)
    for entity in (
        "application_events", "stage_events", "interviews", "scorecards", "offers",
        "demographics", "debriefs", "take_homes",
    ):  # fmt: skip
        child = _file(inbox, entity)
        rows = _read(child)
        rows = rows.filter(pc.is_in(rows["application_id"], value_set=kept))
        if rows.num_rows:
            _write(child, rows)
        else:
            child.unlink()


def _no_exits(inbox: Path, _: np.random.Generator) -> None:
    path = _file(inbox, "stage_events")
    _write(path, _read(path).drop_columns(["exited_at"]))


def _all(*defects: Defect) -> Mapping[str, Defect]:
    return {defect.name: defect for defect in defects}


DEFECTS: Mapping[str, Defect] = _all(
    Defect(
        "empty_inbox", "Nothing was delivered.", "landing", "empty_inbox", _empty_inbox
    ),
    Defect(
        "missing_required_column", "Applications lack applied_at.", "landing",
        "missing_column", _missing_required_column,
    ),
    Defect(
        "renamed_column", "The key of scorecards has another name.", "landing",
        "missing_column", _renamed_column,
    ),
    Defect(
        "unknown_entity", "A file is named after no entity.", "landing",
        "unknown_entity", _unknown_entity,
    ),
    Defect(
        "unreadable_file", "The ratings are a broken Parquet file.", "landing",
        "unreadable_file", _unreadable_file,
    ),
    Defect(
        "empty_file", "The applications are a file of zero bytes.", "landing",
        "empty_file", _empty_file,
    ),
    Defect(
        "header_only", "The scorecards have columns but no row.", "landing",
        "empty_file", _header_only,
    ),
    Defect(
        "symlink", "The applications are a symbolic link.", "landing", "symlink",
        _symlink,
    ),
    Defect(
        "wrong_encoding", "The jobs are Latin-1 where UTF-8 is declared.", "landing",
        "wrong_encoding", _wrong_encoding,
    ),
    Defect(
        "ragged_row", "One row of ratings breaks off.", "quarantine", "ragged_row",
        _ragged_row, stops=False,
    ),
    Defect(
        "bad_timestamp", "A few applications have an ambiguous date.", "quarantine",
        "bad_timestamp", _change("applications", "applied_at", "03/04/2026",
                                 share=0.01),
        stops=False,
    ),
    Defect(
        "default_date", "A few applications were made in 1970.", "quarantine",
        "implausible_date", _change("applications", "applied_at",
                                    "1970-01-01 00:00:00", share=0.01),
        stops=False,
    ),
    Defect(
        "unknown_status", "A few applications have a status of their own.",
        "quarantine", "unknown_value", _change("applications", "status", "parked",
                                               share=0.01),
        stops=False,
    ),
    Defect(
        "review_off_scale", "A few reviews lie above their own scale.", "quarantine",
        "off_scale", _change("performance_reviews", "rating", "9", share=0.01),
        stops=False,
    ),
    Defect(
        "rating_off_scale", "A few ratings are 0, the default of an export.",
        "quarantine", "rating_off_scale", _change("ratings", "rating", "0",
                                                  share=0.01),
        stops=False,
    ),
    Defect(
        "duplicate_keys", "A few applications come twice and differ.", "quarantine",
        "conflict", _duplicate_keys(share=0.01), stops=False,
    ),
    Defect(
        "repeated_rows", "A few scorecards come twice and agree.", "quarantine",
        "duplicates", _repeated_rows, stops=False,
    ),
    Defect(
        "unknown_interviewer", "A few scorecards are by nobody known.", "quarantine",
        "unknown_interviewer", _change("scorecards", "interviewer_id", "I-nobody",
                                       share=0.01),
        stops=False,
    ),
    Defect(
        "unknown_application", "A few scorecards are about nobody known.",
        "quarantine", "unknown_application",
        _change("scorecards", "application_id", "A-nobody", share=0.01), stops=False,
    ),
    Defect(
        "unknown_scorecard", "A few ratings belong to no scorecard.", "quarantine",
        "unknown_scorecard", _rename("ratings", "scorecard_id", share=0.01),
        stops=False,
    ),
    Defect(
        "scorecard_before_application", "A few scorecards precede the application.",
        "quarantine", "scorecard_before_application", _scorecard_before_application,
        stops=False,
    ),
    Defect(
        "exit_before_entry", "A few stage visits end before they begin.",
        "quarantine", "exit_before_entry",
        _shift("stage_events", "exited_at", "entered_at", -3, share=0.01), stops=False,
    ),
    Defect(
        "unknown_stage", "A few visits are to a stage nobody declared.", "quarantine",
        "unknown_stage", _change("stage_events", "stage", "lunch", share=0.01),
        stops=False,
    ),
    Defect(
        "offer_resolved_before", "A few offers are answered before they are made.",
        "quarantine", "resolved_before_extended",
        _shift("offers", "resolved_at", "extended_at", -3, share=0.01), stops=False,
    ),
    Defect(
        "review_before_hire", "A few reviews precede the hire.", "quarantine",
        "review_before_hire", _review_before_hire, stops=False,
    ),
    Defect(
        "truncated_file", "Half of the applications are gone: a permission was lost.",
        "raw", "shrinkage", _truncated("applications"), needs_baseline=True,
    ),
    Defect(
        "truncated_ratings", "Half of the ratings are gone.", "raw", "shrinkage",
        _truncated("ratings"), needs_baseline=True,
    ),
    Defect(
        "mass_bad_timestamps", "A fifth of the applications have no readable date.",
        "raw", "quarantine_rate", _change("applications", "applied_at", "03/04/2026",
                                          share=0.2),
    ),
    Defect(
        "mass_missing_candidates", "A fifth of the applications name no candidate.",
        "raw", "quarantine_rate", _change("applications", "candidate_id", None,
                                          share=0.2),
    ),
    Defect(
        "future_timestamps", "One application lies more than a year ahead.", "raw",
        "newest_gap_days", _future_application,
    ),
    Defect(
        "mass_null_ratings", "Most ratings are empty.", "raw", "missing_rating_rate",
        _change("ratings", "rating", None, share=0.8),
    ),
    Defect(
        "mass_null_entries", "Most stage visits have no entry time.", "raw",
        "missing_entry_rate", _change("stage_events", "entered_at", None, share=0.8),
    ),
    Defect(
        "all_undisclosed", "Every answer on demographics is declined.", "raw",
        "undisclosed_rate", _change("demographics", "value", "declined"),
    ),
    Defect(
        "mostly_undisclosed", "Most answers on demographics are declined.", "raw",
        "undisclosed_rate", _change("demographics", "value", "declined", share=0.7),
        stops=False,
    ),
    Defect(
        "mass_rating_off_scale", "A fifth of the ratings are 0.", "marts",
        "quarantine_rate", _change("ratings", "rating", "0", share=0.2),
    ),
    Defect(
        "mass_duplicate_keys", "A fifth of the applications come twice and differ.",
        "marts", "quarantine_rate", _duplicate_keys(share=0.2),
    ),
    Defect(
        "mass_unknown_interviewers", "A fifth of the scorecards are by nobody known.",
        "marts", "quarantine_rate",
        _change("scorecards", "interviewer_id", "I-nobody", share=0.2),
    ),
    Defect(
        "mass_exit_before_entry", "A fifth of the stage visits end before they begin.",
        "marts", "quarantine_rate",
        _shift("stage_events", "exited_at", "entered_at", -3, share=0.2),
    ),
    Defect(
        "mass_unknown_stage", "A fifth of the visits are to a stage nobody declared.",
        "marts", "unmapped_rate", _change("stage_events", "stage", "lunch", share=0.2),
    ),
    Defect(
        "all_ratings_equal", "Every rating is 3, the default of a form.", "marts",
        "modal_rate", _change("ratings", "rating", "3"),
    ),
    Defect(
        "bulk_close", "Everything that ended did so on one day.", "marts",
        "busiest_day_rate", _bulk_close, stops=False,
    ),
    Defect(
        "hires_only", "Only those who were hired were delivered.", "marts",
        "hired_rate", _hires_only, stops=False,
    ),
    Defect(
        "no_exits", "Stage visits have no exit time.", "marts", "open_rate",
        _no_exits, stops=False,
    ),
    Defect(
        "backfilled_entries", "Entry times are marked as missing.", "marts",
        "missing_entry_rate",
        _change("stage_events", "entered_at_quality", "missing", share=0.8),
        stops=False,
    ),
    Defect(
        "late_scorecards", "Scorecards are written after the debrief.", "marts",
        "late_rate", _shift("scorecards", "submitted_at", "submitted_at", 60,
                            share=0.7),
        stops=False,
    ),
    Defect(
        "unlinked_employees", "Half of the employees come without an application.",
        "marts", "joined_rate", _change("employees", "application_id", None,
                                        share=0.5),
    ),
    Defect(
        "broken_role_mapping", "Jobs do not match: no application has a role family.",
        "marts", "unmapped_rate", _rename("jobs", "job_id", share=1.0),
    ),
)  # fmt: skip
