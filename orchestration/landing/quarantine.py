"""Rows that were set aside: which, why, and what releases them."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow.parquet as pq

from orchestration.landing.ingest import MESSAGES, Ingest
from orchestration.settings import Home, Sources
from orchestration.warehouse import connect

# Judged against everything else that was delivered, anew in every generation.
GENERATION_MESSAGES = {
    "conflict": "two rows of one key differ, and nothing tells which is newer",
    "unknown_application": "no file holds the application",
    "unknown_interviewer": "no file holds the interviewer",
    "unknown_scorecard": "no file holds the scorecard, or it is set aside",
    "unknown_interview": "no file holds the interview",
    "unknown_employee": "no file holds the employee",
    "unknown_stage": "the role family has no such stage",
    "exit_before_entry": "the stage is left before it is entered",
    "scorecard_before_application": "the scorecard precedes the application",
    "review_before_hire": "the review precedes the hire",
    "resolved_before_extended": "the offer is answered before it is made",
    "rating_off_scale": "the rating is no level of its scale",
    "unknown_rubric_version": "the rubric is declared, but not in this version",
}
CURES = {
    "bad_timestamp": "declare timezone and timestamp_format of the source",
    "bad_date": "declare date_format of the source",
    "implausible_date": "an export default; leave it empty",
    "unknown_value": "map it at the source to a value of the contract",
    "ragged_row": "export again; a separator within a value needs quotes",
    "conflict": "deliver updated_at, or a date in the name of the file",
    "unknown_stage": "map it under `stages` of the source",
    "rating_off_scale": "map it under `scale` of the source or of the rubric",
    "unknown_rubric_version": "add this version to design/rubrics",
    "unknown_application": "deliver applications of the same extract",
    "unknown_interviewer": "deliver interviewers, or an alias in identity.yaml",
    "unknown_scorecard": "deliver scorecards of the same extract",
    "unknown_employee": "deliver employees of the same extract",
    "unknown_interview": "deliver interviews of the same extract",
}
DEFAULT_CURE = "correct it at the source and deliver the file again"
LONGEST_SPELLING = 40
_NEAR = 0.6


@dataclass(frozen=True)
class SetAside:
    """One row that is set aside.

    Attributes
    ----------
    judged : {"landing", "generation"}
        Where: alone, or against everything else.
    column : str or None
    """

    judged: Literal["landing", "generation"]
    source: str
    entity: str
    file: str
    line: int
    column: str | None
    code: str

    @property
    def message(self) -> str:
        """Why, without a value."""
        return MESSAGES.get(self.code) or GENERATION_MESSAGES.get(self.code, self.code)

    @property
    def cure(self) -> str:
        """What releases it."""
        return CURES.get(self.code, DEFAULT_CURE)


def set_aside(taken: Ingest, warehouse: Path | None) -> list[SetAside]:
    """Return every row that is set aside, by file and line.

    Parameters
    ----------
    warehouse : Path or None
        Of the current generation, for what is judged there.
    """
    rows = [
        SetAside(
            "landing", row["source"], row["entity"], row["file"], row["line"],
            row["column_name"], row["code"],
        )
        for row in taken.quarantine_table().to_pylist()
    ]  # fmt: skip
    if warehouse and warehouse.is_file():
        with connect(warehouse, read_only=True) as connection:
            found = connection.execute(
                "select source, entity, file, line, code"
                " from intermediate.int_quarantined_rows"
            ).fetchall()
        rows += [
            SetAside("generation", source, entity, file, int(line), None, code)
            for source, entity, file, line, code in found
        ]
    return sorted(rows, key=lambda r: (r.entity, r.source, r.code, r.file, r.line))


def summary(rows: Sequence[SetAside]) -> list[dict[str, Any]]:
    """Return one row per entity, source and code: how many, where first, what cure."""
    counts = Counter((r.entity, r.source, r.code, r.judged) for r in rows)
    first: dict[tuple[str, str, str, str], SetAside] = {}
    for row in rows:
        first.setdefault((row.entity, row.source, row.code, row.judged), row)
    return [
        {
            "entity": entity,
            "source": source,
            "code": code,
            "judged": judged,
            "rows": n,
            "first": f"{first[entity, source, code, judged].file}:"
            f"{first[entity, source, code, judged].line}",
            "message": first[entity, source, code, judged].message,
            "cure": first[entity, source, code, judged].cure,
        }
        for (entity, source, code, judged), n in sorted(counts.items())
    ]


def spellings(
    taken: Ingest, rows: Sequence[SetAside], sources: Sources
) -> list[dict[str, Any]]:
    """Return the spellings of ratings that no scale knows, with the likely level.

    Spellings are levels of a form, no free text; longer ones are not shown.
    """
    off = [row for row in rows if row.code == "rating_off_scale"]
    counts: Counter[tuple[str, str]] = Counter()
    for file in taken.files:
        lines = [row.line for row in off if row.file == file.name]
        if file.entity != "ratings" or not lines:
            continue
        found = duckdb.execute(
            "select rating from read_parquet(?) where list_contains(?, _line)",
            [str(file.path), lines],
        ).fetchall()
        counts.update((file.source, str(rating)) for (rating,) in found)
    told = []
    for (source, spelling), n in counts.most_common():
        known = list(sources.of(source).scale)
        plain = spelling.strip().lower().replace(" ", "_").replace("-", "_")
        near = difflib.get_close_matches(plain, known, n=1, cutoff=_NEAR)
        is_short = len(spelling) <= LONGEST_SPELLING
        told.append(
            {
                "source": source,
                "spelling": spelling if is_short else "(longer than 40 characters)",
                "rows": n,
                "likely": near[0] if near and is_short else None,
            }
        )
    return told


def texts(home: Home, taken: Ingest) -> dict[tuple[str, int], str]:
    """Return the rows refused at landing as they stood, by file and line.

    From `restricted/`: for people who may see what was delivered.
    """
    found: dict[tuple[str, int], str] = {}
    for file in taken.files:
        path = home.restricted / "quarantine" / file.path.name
        if file.quarantined and path.is_file():
            for row in pq.read_table(path).to_pylist():
                text = str(row["row_text"] or "").replace("\x1f", " | ")
                found[file.name, row["line"]] = text
    return found


def forget(taken: Ingest) -> int:
    """Let files with refused rows be parsed anew; return how many there are."""
    n = 0
    for file in taken.files:
        if file.quarantined:
            file.path.with_suffix(".json").unlink(missing_ok=True)
            n += 1
    return n
