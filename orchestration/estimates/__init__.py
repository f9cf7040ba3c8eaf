"""Estimates: marts as Arrow in, one table of estimates out, per question.

SQL counts and labels, `statistics` estimates; what joins the two lives here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from orchestration.estimates.adverse_impact import adverse_impact
from orchestration.estimates.bottlenecks import MARTS as BOTTLENECK_MARTS
from orchestration.estimates.bottlenecks import bottlenecks
from orchestration.estimates.calibration import interviewer_calibration
from orchestration.estimates.drift import interviewer_drift
from orchestration.estimates.funnel import funnel
from orchestration.estimates.hiring import offer_acceptance, time_to_hire
from orchestration.estimates.reliability import (
    rater_reliability,
    reliability_crosscheck,
)
from orchestration.estimates.round_signal import round_signal
from orchestration.estimates.score_gaps import score_gaps
from orchestration.estimates.validity import MARTS as VALIDITY_MARTS
from orchestration.estimates.validity import predictive_validity


@dataclass(frozen=True)
class Estimate:
    """One table of estimates: how it is computed, and from which marts."""

    function: Callable[..., pa.Table]
    marts: tuple[str, ...]
    description: str
    # Whether it computes only what has new input; not worth it where that takes less
    # than to find out.
    is_sliced: bool = False


ESTIMATES = {
    "funnel": Estimate(
        funnel,
        ("dim_windows", "fct_stage_outcomes"),
        "Conversion and time in stage by cohort and by activity.",
        is_sliced=True,
    ),
    "time_to_hire": Estimate(
        time_to_hire,
        ("dim_windows", "fct_applications", "fct_openings"),
        "Median days from applying to acceptance, and from opening to its filling.",
    ),
    "offer_acceptance": Estimate(
        offer_acceptance,
        ("dim_windows", "fct_offers"),
        "Share of answered offers that were accepted.",
    ),
    "bottlenecks": Estimate(
        bottlenecks,
        BOTTLENECK_MARTS,
        "Days above each stage's reference, and growth of its backlog.",
        is_sliced=True,
    ),
    "adverse_impact": Estimate(
        adverse_impact,
        ("dim_windows", "fct_selection_counts"),
        "Selection rates of self-identified groups, crude and adjusted.",
        is_sliced=True,
    ),
    "rater_reliability": Estimate(
        rater_reliability,
        ("dim_windows", "fct_ratings", "fct_stage_outcomes"),
        "Reliability and agreement of interviewers by round and competency.",
        is_sliced=True,
    ),
    "reliability_crosscheck": Estimate(
        reliability_crosscheck,
        ("dim_windows", "fct_ratings"),
        "Our intraclass correlations beside pingouin's on complete blocks.",
        is_sliced=True,
    ),
    "interviewer_calibration": Estimate(
        interviewer_calibration,
        ("dim_windows", "fct_ratings"),
        "Severity and rating habits of each interviewer beside peers.",
        is_sliced=True,
    ),
    "interviewer_drift": Estimate(
        interviewer_drift,
        ("dim_windows", "fct_ratings"),
        "Slope of each interviewer's severity, and severity quarter by quarter.",
        is_sliced=True,
    ),
    "round_signal": Estimate(
        round_signal,
        ("dim_windows", "fct_ratings", "fct_scorecards", "fct_stage_outcomes"),
        "What each round tells for the hours it costs, alone and beside the others.",
        is_sliced=True,
    ),
    "score_gaps": Estimate(
        score_gaps,
        ("dim_windows", "fct_ratings", "fct_score_counts", "fct_stage_outcomes"),
        "Gaps in scores between self-identified groups, crude and matched.",
        is_sliced=True,
    ),
    "predictive_validity": Estimate(
        predictive_validity,
        VALIDITY_MARTS,
        "Correlation of interview scores with later reviews of those hired.",
        is_sliced=True,
    ),
}
