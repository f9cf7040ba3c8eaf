"""Where a peer library is not followed: what it says, what is right, and why."""

import krippendorff
import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.duration.survfunc import CumIncidenceRight

from orchestration.statistics.agreement import (
    alpha,
    chance_corrected,
    coincidences,
    complete_block,
    one_way,
)
from orchestration.statistics.crossed import components
from orchestration.statistics.durations import cumulative_incidence

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Shrout & Fleiss (1979), Psychol. Bull. 86(2), table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [
        [9, 2, 5, 8],
        [6, 1, 3, 2],
        [8, 4, 6, 8],
        [7, 1, 2, 6],
        [10, 5, 6, 9],
        [6, 2, 4, 7],
    ],
    dtype=np.float64,
)
# Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C, as Gwet
# (2014) and irrCAC's cac.raw4raters print it: twelve units, four raters, 0 is a gap.
TWELVE_UNITS = np.array(
    [
        [1, 1, 0, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2],
        [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [0, 5, 5, 5],
        [0, 0, 1, 1], [0, 0, 3, 0],
    ]
)  # fmt: skip
# Ten cases in four weeks: ended by cause 1, by cause 2, or open (0).
WEEK = np.array([1, 1, 1, 2, 2, 2, 2, 3, 3, 4])
CAUSE = np.array([1, 2, 0, 1, 1, 2, 0, 2, 1, 0])
# lifelines 0.30.3: AalenJohansenFitter(seed=seed).fit(WEEK, CAUSE, event_of_interest=1)
# at week 4 with the seeds 1, 2 and 3. It moves tied times apart at random.
LIFELINES = np.array([0.475, 0.5, 0.4888888889])


def second_judge_left() -> Floats:
    """Four of the 24 ratings gone: judge 2 did not see the last four targets."""
    table = SHROUT_FLEISS.copy()
    table[2:, 1] = np.nan
    return table


def by_pingouin(table: Floats) -> dict[str, float]:
    target, judge = np.indices(table.shape)
    frame = pd.DataFrame(
        {"target": target.ravel(), "judge": judge.ravel(), "score": table.ravel()}
    )
    found = pingouin.intraclass_corr(
        frame, "target", "judge", "score", nan_policy="omit"
    )
    return dict(zip(found["Type"], found["ICC"], strict=True))


def by_us(table: Floats) -> tuple[float, float]:
    """ICC(1) of panels of any size, and absolute agreement by REML."""
    target, judge = np.nonzero(~np.isnan(table))
    score, zero = table[target, judge], np.zeros_like(target)
    fit = components(score, target, judge, cand_x_int=False)
    return one_way(score, target, zero, n_groups=1).estimate[0], fit.icc_single


def share_of_cause_1(week: Ints, cause: Ints) -> float:
    found = cumulative_incidence(
        week, cause, horizon=4, group=np.zeros_like(week), n_causes=2
    )
    return float(np.ravel(found.estimate)[0])


def test_without_gaps_pingouin_is_right() -> None:
    theirs = by_pingouin(SHROUT_FLEISS)

    ours = complete_block(SHROUT_FLEISS)

    assert theirs["ICC(1,1)"] == pytest.approx(ours.icc_1, abs=1e-12)
    assert theirs["ICC(A,1)"] == pytest.approx(ours.icc_a1, abs=1e-12)


def test_with_gaps_pingouin_forgets_candidates_one_interviewer_missed() -> None:
    # It keeps the two targets whom all four judges saw, so four missing ratings cost
    # it twelve of the twenty that are there.
    table = second_judge_left()

    theirs = by_pingouin(table)

    of_two = complete_block(SHROUT_FLEISS[:2])
    assert theirs["ICC(1,1)"] == pytest.approx(of_two.icc_1, abs=1e-12)
    assert theirs["ICC(A,1)"] == pytest.approx(of_two.icc_a1, abs=1e-12)
    assert theirs["ICC(1,1)"] == pytest.approx(0.267, abs=5e-4)
    assert theirs["ICC(A,1)"] == pytest.approx(0.348, abs=5e-4)


def test_with_gaps_every_rating_counts_for_us() -> None:
    # .275 is the unbalanced analysis of variance, .249 the REML of lme4.
    ours = by_us(second_judge_left())

    assert ours == pytest.approx((0.275, 0.249), abs=5e-4)


def test_panels_that_no_candidate_met_whole_leave_pingouin_nothing() -> None:
    # Each target misses one judge: 18 of 24 ratings, and not one complete target.
    table = SHROUT_FLEISS.copy()
    table[np.arange(6), np.arange(6) % 4] = np.nan

    with pytest.raises(AssertionError, match="at least 5 non-missing values"):
        by_pingouin(table)

    assert by_us(table)[1] == pytest.approx(by_us(SHROUT_FLEISS)[1], abs=0.02)


def test_ordinal_weights_of_irrcac_are_not_the_ordinal_metric() -> None:
    # Gwet's weights count pairs of levels, whatever was rated; Krippendorff's metric
    # counts the ratings between two levels, so it depends on how often each was used.
    unit, rater = np.nonzero(TWELVE_UNITS)
    level = TWELVE_UNITS[unit, rater] - 1
    pairs = coincidences(level, unit, np.zeros_like(unit), n_levels=5, n_groups=1)
    theirs = krippendorff.alpha(
        np.where(TWELVE_UNITS > 0, TWELVE_UNITS, np.nan).T,
        level_of_measurement="ordinal",
    )

    ordinal = alpha(pairs, metric="ordinal")
    weighted = chance_corrected(pairs, 5, weights="ordinal").alpha.estimate

    assert ordinal == pytest.approx([theirs], abs=1e-12)
    assert ordinal == pytest.approx([0.815], abs=5e-4)
    # irrCAC 0.4.4: CAC(ratings, weights="ordinal").krippendorff().
    assert weighted == pytest.approx([0.83364], abs=5e-6)


def test_tied_ends_have_one_share_where_lifelines_has_as_many_as_seeds() -> None:
    # By cause 1 and cause 2 end one and one of ten at week 1, two and one of seven at
    # week 2, one and one of three at week 3.
    exact = 1 / 10 + 8 / 10 * (2 / 7 + 4 / 7 * 1 / 3)

    ours = share_of_cause_1(WEEK, CAUSE)

    assert ours == pytest.approx(exact, abs=1e-12)
    assert (np.abs(LIFELINES - ours) > 0.005).all()


def test_tied_ends_are_shared_as_statsmodels_does() -> None:
    theirs = CumIncidenceRight(WEEK, CAUSE).cinc[0][-1]

    ours = share_of_cause_1(WEEK, CAUSE)

    assert ours == pytest.approx(theirs, abs=1e-12)


@given(st.permutations(range(WEEK.size)))
def test_the_order_of_tied_cases_does_not_matter(order: list[int]) -> None:
    ours = share_of_cause_1(WEEK[order], CAUSE[order])

    assert ours == pytest.approx(share_of_cause_1(WEEK, CAUSE), abs=1e-12)
