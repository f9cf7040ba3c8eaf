"""Kaplan–Meier quantiles and Aalen–Johansen shares."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from orchestration.statistics.durations import (
    cumulative_incidence,
    survival_quantiles,
)
from orchestration.statistics.proportions import wilson

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Leukaemia data of Miller (1997), Survival Analysis, p. 49: weeks to relapse, + open.
MAINTAINED = "9 13 13+ 18 23 28+ 31 34 45+ 48 161+"
NONMAINTAINED = "5 5 8 8 12 16+ 23 27 30 33 43 45"


def aml() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    marks = [MAINTAINED.split(), NONMAINTAINED.split()]
    weeks = [float(mark.rstrip("+")) for arm in marks for mark in arm]
    ended = [not mark.endswith("+") for arm in marks for mark in arm]
    return np.array(weeks), np.array(ended), np.repeat([0, 1], [11, 12])


def reference(case: str) -> dict[str, dict[str, float]]:
    file = REFERENCE / case / "expected.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    return {row["key"]: row for row in json.loads(file.read_text())["expected"]}


cases = st.lists(
    st.tuples(st.integers(1, 15), st.integers(0, 2), st.integers(0, 2)),
    min_size=1,
    max_size=60,
)


def columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def test_aml_medians_and_intervals_are_those_of_r_survival():
    """survfit(Surv(time, status) ~ x, aml, conf.type = "log-log")."""
    weeks, ended, group = aml()

    median = survival_quantiles(weeks, ended, group=group)

    np.testing.assert_array_equal(median.estimate[:, 0], [31, 23])
    np.testing.assert_array_equal(median.low[:, 0], [13, 5])
    np.testing.assert_array_equal(median.high[:, 0], [np.nan, 33])
    np.testing.assert_array_equal(median.n, [11, 12])
    np.testing.assert_array_equal(median.n_events, [7, 11])


def test_aml_curve_equals_the_reference():
    expected = reference("44_aml_kaplan_meier")
    weeks, ended, group = aml()

    at = {
        week: cumulative_incidence(weeks, ended, horizon=week, group=group)
        for week in (13, 23, 48)
    }

    got = {f"S_Maintained_{week}": 1 - at[week].estimate[0, 0] for week in at}
    got["se_Maintained_13_greenwood"] = np.sqrt(at[13].variance[0, 0])
    got["loglog_ci_lower_13"] = 1 - at[13].high[0, 0]
    got["loglog_ci_upper_13"] = 1 - at[13].low[0, 0]
    for key, value in got.items():
        assert value == pytest.approx(expected[key]["value"], abs=expected[key]["tol"])


def test_aidssi_shares_equal_the_reference():
    """Two competing causes with many open cases; R's mstate."""
    expected = reference("46_aidssi_cuminc")
    with (REFERENCE / "46_aidssi_cuminc" / "data.csv").open() as file:
        rows = [(float(row["time"]), int(row["event"])) for row in csv.DictReader(file)]
    years, cause = columns(rows)

    for horizon in (2, 5, 10):
        shares = cumulative_incidence(
            years, cause, horizon=horizon, group=np.zeros(years.size, int)
        )
        got = {
            f"cif1_t{horizon}": shares.estimate[0, 0],
            f"cif2_t{horizon}": shares.estimate[0, 1],
            f"se_cif1_t{horizon}": np.sqrt(shares.variance[0, 0]),
        }
        for key, value in got.items():
            row = expected[key]
            assert value == pytest.approx(row["value"], abs=row["tol"])


@given(cases)
def test_quantiles_equal_statsmodels_off_flat_stretches(rows):
    days, cause, group = columns(rows)
    shares = [0.123456, 0.5123, 0.8567]

    got = survival_quantiles(days, cause > 0, group=group, probability=shares)

    for code in np.unique(group):
        own = group == code
        peer = SurvfuncRight(days[own].astype(float), (cause > 0)[own].astype(float))
        wanted = [peer.quantile(share) for share in shares]
        np.testing.assert_array_equal(
            got.estimate[code], [np.nan if np.isinf(day) else day for day in wanted]
        )


def test_an_even_number_of_ended_cases_has_the_ordinary_median():
    median = survival_quantiles([1, 2, 3, 4], [True] * 4, group=[0] * 4)

    assert median.estimate == 2.5


def test_open_cases_move_the_median_up():
    """Leaving open cases out would hide the slowest stages."""
    days = [2, 4, 6, 20, 25, 30]
    closed_only = survival_quantiles(days[:3], [True] * 3, group=[0] * 3)

    with_open = survival_quantiles(days, [True] * 3 + [False] * 3, group=[0] * 6)

    assert closed_only.estimate == 4
    assert with_open.estimate == (6 + 30) / 2


@given(cases)
def test_interval_holds_the_quantile(rows):
    days, cause, group = columns(rows)

    got = survival_quantiles(days, cause > 0, group=group, probability=[0.5, 0.85])

    known = ~np.isnan(got.estimate)
    assert (got.low[known] <= got.estimate[known]).all()
    assert not (got.high[known] < got.estimate[known]).any()


@given(cases)
def test_groups_do_not_touch_each_other(rows):
    days, cause, group = columns(rows)
    together = cumulative_incidence(
        days, cause, horizon=8, group=group, n_causes=2, n_groups=3
    )
    median = survival_quantiles(days, cause > 0, group=group, n_groups=3)

    for code in range(3):
        own = group == code
        alone = cumulative_incidence(
            days[own], cause[own], horizon=8, group=group[own] * 0, n_causes=2,
            n_groups=1,
        )  # fmt: skip
        np.testing.assert_allclose(together.estimate[code], alone.estimate[0])
        np.testing.assert_allclose(together.high[code], alone.high[0])
        own_median = survival_quantiles(
            days[own], cause[own] > 0, group=group[own] * 0, n_groups=1
        )
        np.testing.assert_array_equal(median.estimate[code], own_median.estimate[0])


@given(cases)
def test_counts_stand_for_repeated_rows(rows):
    days, cause, group = columns(rows)
    repeated = cumulative_incidence(
        *(np.repeat(column, 3) for column in (days, cause)),
        group=np.repeat(group, 3),
        horizon=8,
    )

    counted = cumulative_incidence(
        days, cause, group=group, horizon=8, count=np.full(days.size, 3)
    )

    np.testing.assert_array_equal(counted.n, repeated.n)
    np.testing.assert_allclose(counted.estimate, repeated.estimate)
    np.testing.assert_allclose(counted.low, repeated.low)


@given(cases)
def test_more_of_the_same_narrows_the_interval(rows):
    days, cause, group = columns(rows)
    once = cumulative_incidence(days, cause, group=group, horizon=8)
    four = cumulative_incidence(
        days, cause, group=group, horizon=8, count=np.full(days.size, 4)
    )

    known = ~np.isnan(once.estimate)
    np.testing.assert_allclose(four.estimate[known], once.estimate[known])
    assert ((four.high - four.low)[known] < (once.high - once.low)[known]).all()


@given(cases)
def test_shares_and_survivors_add_up_to_one(rows):
    days, cause, group = columns(rows)
    by_cause = cumulative_incidence(days, cause, group=group, horizon=8, n_causes=2)

    at_all = cumulative_incidence(days, cause > 0, group=group, horizon=8, n_causes=1)

    np.testing.assert_allclose(
        by_cause.estimate.sum(axis=1), at_all.estimate[:, 0], atol=1e-12
    )


@given(cases)
def test_interval_holds_the_share(rows):
    days, cause, group = columns(rows)

    got = cumulative_incidence(days, cause, group=group, horizon=8)

    known = ~np.isnan(got.estimate)
    low, share, high = (x[known] for x in (got.low, got.estimate, got.high))
    assert ((low >= 0) & (low <= share) & (share <= high) & (high <= 1)).all()


@given(st.lists(st.tuples(st.integers(1, 15), st.integers(1, 3)), min_size=1))
def test_without_open_cases_shares_are_plain_proportions(rows):
    days, cause = columns(rows)

    got = cumulative_incidence(days, cause, horizon=8, group=cause * 0, n_causes=3)

    share = [np.mean((days <= 8) & (cause == code)) for code in (1, 2, 3)]
    np.testing.assert_allclose(got.estimate[0], share, atol=1e-12)
    binomial = np.array(share) * (1 - np.array(share)) / days.size
    np.testing.assert_allclose(got.variance[0], binomial, atol=1e-12)


def test_a_cause_nobody_had_gets_wilsons_upper_bound_over_the_known():
    """0 of 20 must give 0 to .161, not a width of nothing."""
    got = cumulative_incidence(
        [9.0] * 20, [1] * 20, horizon=10, group=[0] * 20, n_causes=2
    )

    np.testing.assert_allclose(got.low[0], [wilson(20, 20).low, 0])
    np.testing.assert_allclose(got.high[0], [1, 0.161125], atol=1e-6)


def test_an_unseen_horizon_is_not_estimable():
    got = cumulative_incidence([3, 5], [1, 0], horizon=[10], group=[0, 0])

    assert np.isnan(got.estimate).all()
    assert got.maturity == 0.5


def test_each_group_has_its_own_horizon():
    got = cumulative_incidence(
        [2, 6, 2, 6], [1, 1, 1, 1], horizon=[4, 8], group=[0, 0, 1, 1]
    )

    np.testing.assert_array_equal(got.estimate[:, 0], [0.5, 1.0])


def test_ends_on_the_day_of_the_horizon_count():
    got = cumulative_incidence([4.0, 4.0], [1, 0], horizon=4, group=[0, 0])

    assert got.estimate == 0.5
    assert got.maturity == 1.0


def test_nothing_known_is_not_estimable():
    none = cumulative_incidence([], [], horizon=9, group=[], n_groups=2, n_causes=1)
    missing = survival_quantiles([np.nan], [True], group=[0])

    assert np.isnan(none.estimate).all()
    assert np.isnan(none.maturity).all()
    np.testing.assert_array_equal(missing.n, [0])
    assert np.isnan(missing.estimate).all()


def test_all_open_has_no_median():
    got = survival_quantiles([3, 4, 5], [False] * 3, group=[0] * 3)

    assert np.isnan(got.estimate).all()
    assert np.isnan(got.low).all()


@pytest.mark.parametrize(
    ("duration", "group", "message"),
    [
        ([-1.0], [0], "duration must not be negative, got -1"),
        ([1.0], [-2], "group must not be negative, got -2"),
        ([1.0], [0, 1], "group must have shape"),
    ],
)
def test_impossible_cases_are_named(duration, group, message):
    with pytest.raises(ValueError, match=message):
        survival_quantiles(duration, [True], group=group)
