"""Ratings as arrays: codes assigned by SQL once, rows in a fixed order, by window."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.windows import Window, contents
from orchestration.warehouse import Warehouse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CRITERION = (
    "role_family", "round", "competency", "rubric_id", "rubric_version", "scale_id",
)  # fmt: skip
_CODES = ("criterion", "candidate", "interviewer", "card", "question")

_DIMENSIONS = ", ".join(CRITERION)
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
            is_independent, has_debrief, submitted_at
        from marts.fct_ratings
        where not is_shadow
            and candidate_id is not null
            and interviewer_id is not null
            and submitted_at >= cast(? as timestamp)
            and submitted_at < cast(? as timestamp)
    )
"""
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
    select
        cast(criterion as integer) as criterion,
        cast(candidate as integer) as candidate,
        cast(interviewer as integer) as interviewer,
        cast(card as integer) as card,
        cast(coalesce(question, -1) as integer) as question,
        rating_value,
        coalesce(is_independent, false) as is_independent,
        submitted_at
    from rated
    inner join criteria using ({_DIMENSIONS})
    inner join candidates using (candidate_id)
    inner join interviewers using (interviewer_id)
    inner join cards using (scorecard_id)
    left join questions using (question_id)
"""
_INTERVIEWERS = f"""
    {_RATED}
    select distinct interviewer_id from rated order by interviewer_id
"""


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
    submitted_at : ndarray of datetime64
        When the card of each rating was submitted, UTC.
    """

    criteria: pd.DataFrame
    interviewers: list[str]
    criterion: Integers
    candidate: Integers
    interviewer: Integers
    card: Integers
    question: Integers
    value: Floats
    submitted_at: NDArray[np.datetime64]


def rating_contents(warehouse: Warehouse, windows: Sequence[Window]) -> dict[str, str]:
    """Return what the ratings of each window amount to, by id of the window."""
    query = f"{_RATED} select * from rated"
    return contents(warehouse, query, by="submitted_at", parameters=_bounds(windows))


def _bounds(windows: Sequence[Window]) -> list[dt.date]:
    """From the start of the first window to the end of the last."""
    return [
        min((window.start for window in windows), default=dt.date.max),
        max((window.end for window in windows), default=dt.date.max),
    ]


def _sorted(coded: pa.Table) -> pa.Table:
    """Rows in the order of their codes: one key is sorted in half the time of five."""
    codes = [coded[name].to_numpy().astype(np.int64) for name in _CODES]
    # A question may be unknown, -1.
    sizes = [int(code.max(initial=0)) + 2 for code in codes]
    if math.prod(sizes) >= 2**63:
        return coded.take(np.lexsort(codes[::-1]))
    key = np.zeros(coded.num_rows, np.int64)
    for code, size in zip(codes, sizes, strict=True):
        key = key * size + code + 1
    return coded.take(np.argsort(key, kind="stable"))


class RatingHistory:
    """All ratings of some windows, read and coded once; `ratings` cuts a window out.

    Parameters
    ----------
    warehouse : Warehouse
    windows : sequence of Window
        What will be asked for.
    """

    def __init__(self, warehouse: Warehouse, windows: Sequence[Window]) -> None:
        self._warehouse = warehouse
        bounds = _bounds(windows)
        coded = _sorted(warehouse.read_arrow(_CODED, bounds))
        self._interviewers = np.array(
            warehouse.read_arrow(_INTERVIEWERS, bounds)["interviewer_id"].to_pylist(),
            dtype=object,
        )
        self._codes = {name: coded[name].to_numpy() for name in _CODES}
        # A rating of no known question is counted with its criterion, not judged.
        asked = self._codes["question"] >= 0
        self._is_judged = coded["is_independent"].to_numpy() & asked
        self._value = coded["rating_value"].to_numpy().astype(np.float64, copy=False)
        self._at = coded["submitted_at"].to_numpy()

    def __len__(self) -> int:
        """Return how many ratings there are."""
        return self._value.size

    def ratings(self, window: Window) -> Ratings:
        """Return the ratings submitted in a window, by interviewers not shadows.

        Ratings given after the debrief are counted and left out; where no debrief is
        recorded independence is unknown, and the ratings are kept and counted.
        """
        inside = np.flatnonzero(
            (self._at >= np.datetime64(window.start))
            & (self._at < np.datetime64(window.end))
        )
        is_judged = self._is_judged[inside]
        judged = inside[is_judged]
        codes, labels = {}, {}
        for name, every in self._codes.items():
            # Codes of the window number the labels present in it, judged or not.
            code = every[inside]
            present = np.bincount(code[code >= 0]) > 0
            labels[name] = np.flatnonzero(present)
            codes[name] = (np.cumsum(present) - 1)[code[is_judged]]
        criteria = self._warehouse.read_arrow(
            _CRITERIA, [window.start, window.end]
        ).to_pandas()
        return Ratings(
            criteria=criteria,
            interviewers=self._interviewers[labels["interviewer"]].tolist(),
            value=self._value[judged],
            submitted_at=self._at[judged],
            **codes,
        )
