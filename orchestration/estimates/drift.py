"""Interviewer drift: who becomes stricter or more lenient than before (T3)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.estimates.calibration import Cards, cards_of
from orchestration.estimates.frames import Z95, arrow_table
from orchestration.estimates.ratings import RatingHistory, Ratings, rating_contents
from orchestration.estimates.slices import NOTHING_KEPT, Slices, stream
from orchestration.estimates.windows import Window, windows
from orchestration.settings import Policy
from orchestration.statistics.drift import (
    Slopes,
    change_point,
    cusum,
    drift_flags,
    drift_slopes,
    ewma,
    quarter_severities,
)
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.warehouse import Warehouse

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# A change point is named where a series without one would show it in a twentieth.
_CHANGE_LEVEL = 0.05
# A quarter with fewer cards is too rough a point to be shown.
_SHOWN_CARDS = 5

SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("interviewer_id", pa.string()),
        ("basis", pa.string()), ("n", pa.int64()), ("estimate", pa.float64()),
        ("ci_low", pa.float64()), ("ci_high", pa.float64()),
        ("ci_method", pa.string()), ("status", pa.string()),
        ("n_quarters", pa.int64()), ("slope_blue", pa.float64()),
        ("se", pa.float64()), ("slope_common", pa.float64()),
        ("z_vs_common", pa.float64()), ("p", pa.float64()), ("q", pa.float64()),
        ("slope_shrunk", pa.float64()), ("change_blue", pa.float64()),
        ("change_shrunk", pa.float64()),
        ("mdd", pa.float64()), ("change_quarter", pa.string()),
        ("ewma", pa.float64()), ("ewma_lcl", pa.float64()),
        ("ewma_ucl", pa.float64()), ("cusum_high", pa.float64()),
        ("cusum_low", pa.float64()), ("is_outside_limits", pa.bool_()),
        ("flag", pa.string()),
    ]
)  # fmt: skip


def interviewer_drift(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return each interviewer's drift over the closed quarters, and every quarter.

    Positive numbers mean stricter. Rows of basis `trend` hold the slope of severity per
    quarter against the drift all share, in the window of all closed quarters; rows of
    basis `quarter` hold the severity of one quarter beside peers, with control limits
    about the interviewer's own mean. Scores are deviations from their criterion's mean
    in points of a five-point scale, as in `interviewer_calibration`. `rng` draws the
    series without a change that change points are judged by.
    """
    asked = windows(warehouse, "all")
    if not asked:
        return SCHEMA.empty_table()
    whole = asked[0]
    quarters = [
        quarter
        for quarter in windows(warehouse, "quarter")
        if whole.start <= quarter.start and quarter.end <= whole.end
    ]
    parts = [
        whole.part,
        *(quarter.part for quarter in quarters),
        policy.model_dump_json(),
        rating_contents(warehouse, asked)[whole.id],
    ]

    def compute() -> pa.Table:
        rated = RatingHistory(warehouse, asked).ratings(whole)
        return _drift(rated, whole, quarters, policy, stream(rng, whole.id))

    return slices.table(parts, compute)


def _drift(
    rated: Ratings,
    whole: Window,
    quarters: list[Window],
    policy: Policy,
    rng: np.random.Generator,
) -> pa.Table:
    """Trend and quarters of everybody who rated."""
    if not rated.value.size:
        return SCHEMA.empty_table()
    cards = cards_of(rated)
    starts = np.array([np.datetime64(quarter.start) for quarter in quarters])
    quarter = np.searchsorted(starts, cards.submitted_at, side="right") - 1
    # Both models spend their time in products of matrices, which let others run.
    with ThreadPoolExecutor(1) as beside:
        slopes = beside.submit(
            drift_slopes,
            cards.score,
            quarter,
            interviewer=cards.interviewer,
            candidate=cards.candidate,
            cell=cards.cell,
            n_interviewers=len(rated.interviewers),
        )
        series, changed = _quarters(cards, quarter, rated, quarters, rng)
    trend = _trend(slopes.result(), rated, whole, changed, policy)
    return arrow_table(
        pd.concat([trend, series], ignore_index=True).sort_values(
            ["basis", "interviewer_id", "window_id"]
        ),
        SCHEMA,
    )


def _trend(
    slopes: Slopes,
    rated: Ratings,
    whole: Window,
    changed: list[str | None],
    policy: Policy,
) -> pd.DataFrame:
    """One row per interviewer; the model's slopes are of scores, ours of severity."""
    q = benjamini_hochberg(slopes.p)
    # Where one in forty drifts, shrinkage takes two thirds of the change away: its size
    # is judged without, like its presence.
    change = (slopes.slope - slopes.common) * slopes.span
    flags = drift_flags(q, change, slopes.n_quarters, level=policy.false_discovery_rate)
    shown = flags.is_shown & ~np.isnan(slopes.slope)
    half = Z95 * slopes.shrunk_sd
    frame = pd.DataFrame(
        {
            "window_id": whole.id,
            "interviewer_id": rated.interviewers,
            "basis": "trend",
            "n": slopes.n_cards,
            "n_quarters": slopes.n_quarters,
            "estimate": -slopes.shrunk,
            "ci_low": -slopes.shrunk - half,
            "ci_high": -slopes.shrunk + half,
            "slope_blue": -slopes.slope,
            "se": slopes.se,
            "slope_common": -slopes.common,
            "z_vs_common": -slopes.z,
            "p": slopes.p,
            "q": q,
            "slope_shrunk": -slopes.shrunk,
            "change_blue": -change,
            "change_shrunk": -slopes.change_vs_common,
            "mdd": slopes.mdd,
        }
    )
    frame.loc[~shown, frame.columns[5:]] = np.nan
    crosses = (frame["ci_low"] <= 0) & (frame["ci_high"] >= 0)
    return frame.assign(
        ci_method=np.where(shown, "posterior of the mixed model", "none"),
        change_quarter=pd.Series(changed, dtype=object).where(shown, None),
        flag=np.select(
            [flags.direction < 0, flags.direction > 0],
            ["stricter", "more_lenient"],
            "none",
        ),
        status=np.select(
            [~shown, np.full(shown.size, slopes.var_slope == 0), crosses],
            ["insufficient", "boundary", "inconclusive"],
            "ok",
        ),
    )


def _quarters(
    cards: Cards,
    quarter: Integers,
    rated: Ratings,
    quarters: list[Window],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, list[str | None]]:
    """One row per interviewer and quarter with cards, and where each series changed."""
    size = len(rated.interviewers)
    found = quarter_severities(
        cards.score,
        quarter,
        interviewer=cards.interviewer,
        candidate=cards.candidate,
        cell=cards.cell,
        n_interviewers=size,
        n_quarters=len(quarters),
    )
    average = ewma(found.severity, found.se, centre=None)
    sums = cusum(found.severity, found.se, centre=None)
    change = change_point(found.severity, found.se, rng=rng)
    ids = np.array([window.id for window in quarters], dtype=object)
    changed = [
        str(ids[place]) if place >= 0 and p <= _CHANGE_LEVEL else None
        for place, p in zip(change.position, change.p, strict=True)
    ]
    who, when = np.nonzero(found.n_cards)
    at = (who, when)
    half = Z95 * found.se[at]
    frame = pd.DataFrame(
        {
            "window_id": ids[when],
            "interviewer_id": np.array(rated.interviewers, dtype=object)[who],
            "basis": "quarter",
            "n": found.n_cards[at],
            "estimate": found.severity[at],
            "ci_low": found.severity[at] - half,
            "ci_high": found.severity[at] + half,
            "se": found.se[at],
            "ewma": average.average[at],
            "ewma_lcl": average.low[at],
            "ewma_ucl": average.high[at],
            "cusum_high": sums.high[at],
            "cusum_low": sums.low[at],
        }
    )
    shown = (frame["n"] >= _SHOWN_CARDS) & frame["estimate"].notna()
    frame.loc[~shown, frame.columns[4:]] = np.nan
    crosses = (frame["ci_low"] <= 0) & (frame["ci_high"] >= 0)
    outside = average.is_outside[at] | sums.is_outside[at]
    return frame.assign(
        ci_method=np.where(shown, "mixed model", "none"),
        is_outside_limits=pd.Series(outside, dtype=object).where(shown, None),
        flag="none",
        status=np.select([~shown, crosses], ["insufficient", "inconclusive"], "ok"),
    ), changed
