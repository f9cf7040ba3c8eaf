"""Frozen quarters: a closed quarter's published figures, written once."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.publishing.generation import (
    AUDIENCES,
    GenerationError,
    current_generation,
)
from orchestration.settings import Settings


@dataclass(frozen=True)
class FrozenQuarter:
    """One frozen quarter on disk."""

    path: Path
    rows: int
    is_new: bool


def freeze_quarter(
    settings: Settings, *, start: dt.date, end: dt.date
) -> FrozenQuarter:
    """Copy the current generation's rows of one quarter to `quarters/<start>/`.

    Parameters
    ----------
    start, end : date
        The quarter `[start, end)`. A quarter already frozen is left as it is.

    Raises
    ------
    GenerationError
        If there is no current generation, its `as_of` is before the quarter's close,
        or it has no row of that quarter.
    """
    home = settings.home
    target = home.quarters / start.isoformat()
    if target.is_dir():
        return FrozenQuarter(target, _rows(target), is_new=False)
    generation = current_generation(home)
    if generation is None:
        raise GenerationError("there is no current generation; launch the job `main`")
    closes = end + dt.timedelta(days=settings.policy.quarter_close_days)
    if generation.as_of < closes:
        raise GenerationError(
            f"the quarter from {start} closes on {closes}, but the current generation"
            f" ends with {generation.as_of}; run `main` with a later as_of first"
        )
    building = home.quarters / f".building-{start.isoformat()}"
    shutil.rmtree(building, ignore_errors=True)
    for audience in AUDIENCES:
        (building / audience).mkdir(parents=True)
        for path in sorted(generation.published(audience).glob("*.parquet")):
            table = pq.read_table(path)
            if "window_start" not in table.column_names:
                continue
            rows = table.filter(
                pc.and_(
                    pc.equal(table["window_start"], start),
                    pc.equal(table["window_end"], end),
                )
            )
            pq.write_table(rows, building / audience / path.name, compression="zstd")
    if not _rows(building):
        shutil.rmtree(building)
        # Frozen figures are never written again, so nothing must not be frozen.
        raise GenerationError(
            f"generation {generation.id} has no figure of the quarter from {start} to"
            f" {end}: it lies before the reported history, or the fiscal year (policy"
            " `fiscal_year_start_month`) has quarters of other months"
        )
    building.rename(target)
    return FrozenQuarter(target, _rows(target), is_new=True)


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))
