"""Ratings of one window as arrays: codes assigned by SQL, rows in a fixed order."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestration.warehouse import Warehouse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CRITERION = (
    "role_family", "round", "competency", "rubric_id", "rubric_version", "scale_id",
)  # fmt: skip

_RATED = """
    with rated as (
        select
            role_family,
            coalesce(round, 'unspecified') as round,
            competency,
            coalesce(rubric_id, 'unspecified') as rubric_id,
            coalesce(rubric_version, 'unspecified') as rubric_version,
            coalesce(scale_id, 'unspecified') as scale_id,
            scale_min, scale_max, n_levels,
            scorecard_id, candidate_id, interviewer_id, question_id, rating_value,
            is_independent, has_debrief
        from marts.fct_ratings
        where submitted_at >= cast(? as timestamp)
            and submitted_at < cast(? as timestamp)
            and not is_shadow
            and candidate_id is not null
            and interviewer_id is not null
    )
"""
_DIMENSIONS = ", ".join(CRITERION)
_CRITERIA = f"""
    {_RATED}
    select
        {_DIMENSIONS},
        min(scale_min) as scale_min,
        max(scale_max) as scale_max,
        max(n_levels) as n_levels,
        count(*) filter (where not is_independent) as n_after_debrief,
        count(*) filter (where is_independent and not has_debrief)
            as n_independence_unknown
    from rated
    group by {_DIMENSIONS}
    order by {_DIMENSIONS}
"""
# Each code numbers its labels in their order, so equal data get equal codes.
_CODED = f"""
    {_RATED},
    criteria as (
        select *, row_number() over (order by {_DIMENSIONS}) - 1 as criterion
        from (select distinct {_DIMENSIONS} from rated)
    ),
    candidates as (
        select candidate_id, row_number() over (order by candidate_id) - 1 as candidate
        from (select distinct candidate_id from rated)
    ),
    interviewers as (
        select
            interviewer_id,
            row_number() over (order by interviewer_id) - 1 as interviewer
        from (select distinct interviewer_id from rated)
    ),
    cards as (
        select scorecard_id, row_number() over (order by scorecard_id) - 1 as card
        from (select distinct scorecard_id from rated)
    ),
    questions as (
        select question_id, row_number() over (order by question_id) - 1 as question
        from (select distinct question_id from rated)
    )
    select criterion, candidate, interviewer, card, question, rating_value
    from rated
    inner join criteria using ({_DIMENSIONS})
    inner join candidates using (candidate_id)
    inner join interviewers using (interviewer_id)
    inner join cards using (scorecard_id)
    inner join questions using (question_id)
    where is_independent
    order by criterion, candidate, interviewer, card, question
"""
_INTERVIEWERS = f"""
    {_RATED}
    select distinct interviewer_id from rated order by interviewer_id
"""
_WINDOWS = """
    select window_id, window_kind, window_start, window_end
    from marts.dim_windows
    where window_kind in ({})
    order by window_kind, window_start
"""


@dataclass(frozen=True)
class Window:
    """One reporting window: `[start, end)`."""

    id: str
    kind: str
    start: dt.date
    end: dt.date


@dataclass(frozen=True)
class Ratings:
    """The independent ratings of a window, one array entry per rating.

    Attributes
    ----------
    criteria : DataFrame
        A row per criterion code: role family, round, competency, rubric, its version
        and scale, the scale's bounds and number of levels, and how many ratings were
        left out (`n_after_debrief`) or kept unproven (`n_independence_unknown`).
    interviewers : list of str
        The id behind each interviewer code.
    criterion, candidate, interviewer, card, question : ndarray of int
        Codes from 0; rows are ordered by them.
    value : ndarray of float
        Ratings on their own scale; never NaN.
    """

    criteria: pd.DataFrame
    interviewers: list[str]
    criterion: Integers
    candidate: Integers
    interviewer: Integers
    card: Integers
    question: Integers
    value: Floats


def windows(warehouse: Warehouse, *kinds: str) -> list[Window]:
    """Return the windows of the kinds asked for, oldest first."""
    rows = warehouse.read_arrow(
        _WINDOWS.format(", ".join("?" for _ in kinds)), list(kinds)
    ).to_pylist()
    return [
        Window(row["window_id"], row["window_kind"], row["window_start"],
               row["window_end"])
        for row in rows
    ]  # fmt: skip


def ratings(warehouse: Warehouse, window: Window) -> Ratings:
    """Return the ratings submitted in a window by interviewers who were not shadows.

    Ratings given after the debrief are counted and left out; where no debrief is
    recorded independence is unknown, and the ratings are kept and counted.
    """
    bounds: list[Any] = [window.start, window.end]
    coded = warehouse.read_arrow(_CODED, bounds)

    def codes(name: str) -> Integers:
        return coded[name].to_numpy().astype(np.int64, copy=False)

    return Ratings(
        criteria=warehouse.read_arrow(_CRITERIA, bounds).to_pandas(),
        interviewers=warehouse.read_arrow(_INTERVIEWERS, bounds)[
            "interviewer_id"
        ].to_pylist(),
        criterion=codes("criterion"),
        candidate=codes("candidate"),
        interviewer=codes("interviewer"),
        card=codes("card"),
        question=codes("question"),
        value=coded["rating_value"].to_numpy().astype(np.float64, copy=False),
    )
