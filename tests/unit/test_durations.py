"""Kaplan–Meier curves, quantiles and means, Aalen–Johansen shares, log-rank tests."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from orchestration.statistics.durations import (
    cumulative_incidence,
    log_rank,
    restricted_mean,
    survival_at,
    survival_quantiles,
)
from orchestration.statistics.proportions import wilson

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"

# Leukaemia data of Miller (1997), Survival Analysis, p. 49: weeks to relapse, + open.
MAINTAINED = "9 13 13+ 18 23 28+ 31 34 45+ 48 161+"
NONMAINTAINED = "5 5 8 8 12 16+ 23 27 30 33 43 45"

# Freireich et al. (1963), Blood 21, 699-716: weeks in remission of leukaemia, + open,
# by log white blood cells; in Kleinbaum & Klein (2012), Survival Analysis, 3rd ed.,
# chapters 1 and 2.
TREATED = """6:2.31 6:4.06 6:3.28 7:4.43 10:2.96 13:2.88 16:3.60 22:2.32 23:2.57
    6+:3.20 9+:2.80 10+:2.70 11+:2.60 17+:2.16 19+:2.05 20+:2.01 25+:1.78 32+:2.20
    32+:2.53 34+:1.47 35+:1.45"""
PLACEBO = """1:2.80 1:5.00 2:4.91 2:4.48 3:4.01 4:4.36 4:2.42 5:3.49 5:3.97 8:3.52
    8:3.05 8:2.32 8:3.26 11:3.49 11:2.12 12:1.50 12:3.06 15:2.30 17:2.95 22:2.73
    23:1.97"""


def remission() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weeks, whether they ended, arm, and low, medium or high white blood cells."""
    marks = [mark.split(":") for mark in f"{TREATED} {PLACEBO}".split()]
    weeks = np.array([float(week.rstrip("+")) for week, _ in marks])
    ended = np.array([not week.endswith("+") for week, _ in marks])
    cells = np.digitize([float(cells) for _, cells in marks], [2.305, 3.005])
    return weeks, ended, np.repeat([0, 1], 21), cells


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


def test_every_value_of_aml_equals_the_reference():
    expected = reference("44_aml_kaplan_meier")
    weeks, ended, group = aml()

    curve = survival_at(weeks, ended, at=[13, 23, 48], group=group)

    median = survival_quantiles(weeks, ended, group=group).estimate[:, 0]
    got = {
        "median_Maintained": median[0],
        "median_Nonmaintained": median[1],
        "S_Maintained_13": curve.estimate[0, 0],
        "S_Maintained_23": curve.estimate[0, 1],
        "S_Maintained_48": curve.estimate[0, 2],
        "se_Maintained_13_greenwood": curve.se[0, 0],
        "loglog_ci_lower_13": curve.low[0, 0],
        "loglog_ci_upper_13": curve.high[0, 0],
        "logrank_chisq": log_rank(
            weeks, ended, sample=group, group=group * 0
        ).chi_square[0],
        "rmst_48_Maintained": restricted_mean(
            weeks, ended, until=48, group=group
        ).estimate[0],
    }
    assert got.keys() == expected.keys()
    for key, value in got.items():
        assert value == pytest.approx(expected[key]["value"], abs=expected[key]["tol"])


def test_every_share_of_aidssi_equals_the_reference():
    """Two competing causes with many open cases; R's mstate."""
    expected = reference("46_aidssi_cuminc")
    with (REFERENCE / "46_aidssi_cuminc" / "data.csv").open() as file:
        rows = [(float(row["time"]), int(row["event"])) for row in csv.DictReader(file)]
    years, cause = columns(rows)

    got = {}
    for horizon in (2, 5, 10):
        shares = cumulative_incidence(
            years, cause, horizon=horizon, group=np.zeros(years.size, int)
        )
        got[f"cif1_t{horizon}"] = shares.estimate[0, 0]
        got[f"cif2_t{horizon}"] = shares.estimate[0, 1]
        got[f"se_cif1_t{horizon}"] = np.sqrt(shares.variance[0, 0])

    assert got.keys() == expected.keys()
    for key, value in got.items():
        assert value == pytest.approx(expected[key]["value"], abs=expected[key]["tol"])


def test_aml_curves_are_those_of_r_survival():
    """summary(survfit(Surv(time, status) ~ x, aml, conf.type = "log-log"), times)."""
    weeks, ended, group = aml()

    curve = survival_at(weeks, ended, at=[9, 28, 31], group=group)

    np.testing.assert_array_equal(curve.n_at_risk, [[11, 6, 5], [8, 4, 3]])
    np.testing.assert_allclose(
        curve.estimate,
        [[0.909090909090909, 0.613636363636364, 0.490909090909091],
         [0.666666666666667, 0.388888888888889, 0.291666666666667]],
    )  # fmt: skip
    np.testing.assert_allclose(
        curve.se,
        [[0.0866784172041448, 0.152632331027312, 0.164193267221136],
         [0.136082763487954, 0.146986184053938, 0.138715169134987]],
        rtol=1e-8,
    )  # fmt: skip
    np.testing.assert_allclose(
        curve.low,
        [[0.508080205729770, 0.265752040001286, 0.167330909776851],
         [0.337018932541402, 0.126272012695394, 0.0724016089077718]],
    )  # fmt: skip
    np.testing.assert_allclose(
        curve.high,
        [[0.986673822667823, 0.835299243250221, 0.753399790370811],
         [0.859711799084440, 0.649817408289315, 0.560886052671409]],
    )  # fmt: skip


def test_restricted_means_are_those_of_r_survival():
    """summary(survfit(Surv(time, status) ~ x, aml), rmean = 48) and 30."""
    weeks, ended, group = aml()

    far, near = (
        restricted_mean(weeks, ended, until=until, group=group) for until in (48, 30)
    )

    np.testing.assert_allclose(far.estimate, [31.8431818181818, 22.7083333333333])
    np.testing.assert_allclose(far.se, [4.52788471175049, 4.18094198103315])
    np.testing.assert_allclose(near.estimate, [24.6022727272727, 19.6944444444444])
    np.testing.assert_allclose(near.se, [2.31314937731913, 3.05419793071765])
    np.testing.assert_array_equal(far.n, [11, 12])


def test_restricted_mean_equals_klein_and_moeschberger():
    """Survival Analysis (2003), 4.5: 23.29 weeks of 35, standard error 2.83."""
    weeks, ended, arm, _ = remission()

    mean = restricted_mean(weeks, ended, until=35, group=arm)

    assert mean.estimate[0] == pytest.approx(23.29, abs=5e-3)
    assert mean.se[0] == pytest.approx(2.83, abs=5e-3)


def test_log_rank_equals_kleinbaum_and_klein():
    """Survival Analysis (2012), chapter 2: 16.793 plain, 10.14 within white cells."""
    weeks, ended, arm, cells = remission()

    plain = log_rank(weeks, ended, sample=arm, group=arm * 0)
    within = log_rank(weeks, ended, sample=arm, group=arm * 0, stratum=cells)

    assert plain.chi_square[0] == pytest.approx(16.793, abs=5e-4)
    np.testing.assert_allclose(plain.expected[0], [19.25, 10.75], atol=5e-3)
    np.testing.assert_array_equal(plain.observed[0], [9, 21])
    assert within.chi_square[0] == pytest.approx(10.14, abs=5e-3)
    assert (plain.df[0], within.df[0]) == (1, 1)


def test_log_rank_of_three_samples_equals_kleinbaum_and_klein():
    """Survival Analysis (2012), chapter 2: 26.39 with two degrees of freedom."""
    weeks, ended, _, cells = remission()

    test = log_rank(weeks, ended, sample=cells, group=cells * 0)

    assert test.chi_square[0] == pytest.approx(26.39, abs=5e-3)
    np.testing.assert_allclose(test.expected[0], [13.06, 10.72, 6.21], atol=5e-3)
    assert test.df[0] == 2
    assert test.p[0] < 1e-4


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
        # To the last digit: slices computed alone and together must be one number.
        np.testing.assert_array_equal(together.estimate[code], alone.estimate[0])
        np.testing.assert_array_equal(together.high[code], alone.high[0])
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


@given(cases)
def test_log_rank_equals_statsmodels_in_each_group(rows):
    """The third column makes the groups and, for the second test, the strata."""
    days, code, group = columns(rows)
    sample, ended = code % 2, days % 3 > 0

    test = log_rank(days, ended, sample=sample, group=group, n_groups=3, n_samples=2)
    within = log_rank(days, ended, sample=sample, group=group * 0, stratum=group)

    for one in range(3):
        own = group == one
        if np.isnan(test.chi_square[one]):
            assert test.df[one] == 0
            continue
        chi_square, p = survdiff(days[own], ended[own].astype(int), sample[own])
        assert test.chi_square[one] == pytest.approx(chi_square, abs=1e-9)
        assert test.p[one] == pytest.approx(p, abs=1e-9)
    if within.df[0] > 0:
        chi_square, p = survdiff(days, ended.astype(int), sample, strata=group)
        assert within.chi_square[0] == pytest.approx(chi_square, abs=1e-9)


@given(cases)
def test_log_rank_ignores_the_order_of_samples_and_the_unit_of_time(rows):
    days, code, group = columns(rows)
    ended = days % 3 > 0

    test = log_rank(days, ended, sample=code, group=group, n_samples=3)

    swapped = log_rank(np.sqrt(days), ended, sample=2 - code, group=group, n_samples=3)
    np.testing.assert_array_equal(swapped.df, test.df)
    np.testing.assert_allclose(swapped.chi_square, test.chi_square, atol=1e-9)
    np.testing.assert_allclose(swapped.expected[:, ::-1], test.expected, atol=1e-12)


@given(cases)
def test_as_many_cases_end_as_expected(rows):
    days, code, group = columns(rows)

    test = log_rank(days, days % 3 > 0, sample=code, group=group)

    np.testing.assert_allclose(
        test.observed.sum(axis=1), test.expected.sum(axis=1), atol=1e-9
    )


def test_strata_without_both_samples_count_for_nothing():
    """A third stratum where only one sample is seen leaves the test as it was."""
    weeks, ended, arm, cells = remission()

    more = log_rank(
        np.append(weeks, [3.0, 5.0]),
        np.append(ended, [True, True]),
        sample=np.append(arm, [0, 0]),
        group=np.zeros(44, int),
        stratum=np.append(cells, [3, 3]),
    )

    before = log_rank(weeks, ended, sample=arm, group=arm * 0, stratum=cells)
    assert more.chi_square[0] == pytest.approx(before.chi_square[0])


def test_a_sample_without_cases_takes_no_part():
    weeks, ended, group = aml()

    test = log_rank(weeks, ended, sample=group * 2, group=group * 0, n_samples=4)

    assert test.df[0] == 1
    assert test.chi_square[0] == pytest.approx(3.3963886989776)


def test_one_sample_or_everybody_at_once_is_no_test():
    one = log_rank([1, 2], [True, True], sample=[0, 0], group=[0, 0], n_samples=2)
    at_once = log_rank([1, 1], [True, True], sample=[0, 1], group=[0, 0])
    nothing = log_rank([], [], sample=[], group=[], n_groups=2, n_samples=3)

    for test in (one, at_once, nothing):
        assert np.isnan(test.chi_square).all()
        assert np.isnan(test.p).all()
        assert (test.df == 0).all()
    assert nothing.expected.shape == (2, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sample": [0, -1]}, "sample must not be negative, got -1"),
        ({"sample": [0]}, r"sample must have shape \(2,\), got \(1,\)"),
        ({"sample": [0, 3], "n_samples": 2}, "sample must be below 2, got 3"),
        ({"group": [0, 5], "n_groups": 2}, "group must be below 2, got 5"),
    ],
)
def test_impossible_samples_are_named(changed, message):
    codes = {"sample": [0, 1], "group": [0, 0]} | changed

    with pytest.raises(ValueError, match=message):
        log_rank([1.0, 2.0], [True, True], **codes)


@given(cases)
def test_curve_equals_statsmodels_and_falls(rows):
    days, cause, group = columns(rows)
    times = [2, 5, 9]

    curve = survival_at(days, cause > 0, at=times, group=group)

    for code in np.unique(group):
        own = group == code
        peer = SurvfuncRight(days[own].astype(float), (cause > 0)[own].astype(float))
        for place, time in enumerate(times):
            if np.isnan(curve.estimate[code, place]):
                continue
            steps = np.flatnonzero(peer.surv_times <= time)
            share = peer.surv_prob[steps[-1]] if steps.size else 1
            assert curve.estimate[code, place] == pytest.approx(share, abs=1e-12)
            if 1e-9 < share < 1 - 1e-9:
                se = peer.surv_prob_se[steps[-1]]
                assert curve.se[code, place] == pytest.approx(se)
    assert not (np.diff(curve.estimate, axis=1) > 1e-12).any()
    assert not (curve.low > curve.estimate).any()
    assert not (curve.estimate > curve.high).any()


def test_a_curve_without_ends_is_as_wide_as_wilson_says():
    curve = survival_at([9.0] * 20, [False] * 20, at=[5], group=[0] * 20)

    assert (curve.estimate[0, 0], curve.se[0, 0]) == (1, 0)
    assert (curve.low[0, 0], curve.high[0, 0]) == (pytest.approx(wilson(20, 20).low), 1)


def test_a_curve_stops_with_observation_but_not_with_the_last_end():
    curve = survival_at(
        [1, 2, 1, 2], [True, False, True, True], at=[3], group=[0, 0, 1, 1]
    )

    np.testing.assert_array_equal(curve.estimate[:, 0], [np.nan, 0])


@given(cases)
def test_restricted_mean_is_the_mean_of_cut_times_without_open_cases(rows):
    days, _, group = columns(rows)

    mean = restricted_mean(days, np.ones(days.size, bool), until=8, group=group)

    for code in np.unique(group):
        cut = np.minimum(days[group == code], 8)
        assert mean.estimate[code] == pytest.approx(cut.mean())
        # Greenwood's variance of a mean divides by n, not by n - 1.
        assert mean.se[code] == pytest.approx(cut.std() / np.sqrt(cut.size), abs=1e-9)


@given(cases, st.sampled_from([3, 8, 20]))
def test_restricted_mean_is_the_area_under_the_curve(rows, until):
    days, cause, group = columns(rows)

    mean = restricted_mean(days, cause > 0, until=until, group=group)

    left = survival_at(days, cause > 0, at=np.arange(until), group=group).estimate
    known = ~np.isnan(mean.estimate)
    np.testing.assert_allclose(mean.estimate[known], left.sum(axis=1)[known])


@given(cases)
def test_restricted_means_do_not_touch_and_narrow_with_cases(rows):
    days, cause, group = columns(rows)
    many = restricted_mean(
        days, cause > 0, until=8, group=group, count=np.full(days.size, 4), n_groups=3
    )

    together = restricted_mean(days, cause > 0, until=8, group=group, n_groups=3)

    np.testing.assert_allclose(many.estimate, together.estimate)
    np.testing.assert_allclose(many.se, together.se / 2, atol=1e-9)
    for code in range(3):
        own = group == code
        alone = restricted_mean(
            days[own], cause[own] > 0, until=8, group=group[own] * 0, n_groups=1
        )
        np.testing.assert_allclose(together.estimate[code], alone.estimate[0])
        np.testing.assert_allclose(together.low[code], alone.low[0], atol=1e-9)


def test_a_mean_is_as_unsure_as_the_data_say():
    """Nobody ended, all at once, nobody was seen to the horizon, there is none."""
    days = [9, 9, 3, 3, 2, 4, 2, 4]
    ended = [False, False, True, True, True, False, True, True]

    mean = restricted_mean(
        days, ended, until=[5, 5, 5, np.inf], group=np.repeat([0, 1, 2, 3], 2)
    )

    np.testing.assert_array_equal(mean.estimate, [5, 3, np.nan, 3])
    np.testing.assert_array_equal(mean.se, [0, 0, np.nan, np.sqrt(0.5)])
    assert np.isnan(mean.low[:3]).all()
    assert mean.low[3] < 3 < mean.high[3]


def test_a_mean_of_nothing_is_not_estimable():
    mean = restricted_mean([], [], until=3, group=[], n_groups=2)
    curve = survival_at([np.nan], [True], at=[1, 2], group=[0])

    np.testing.assert_array_equal(mean.n, [0, 0])
    assert np.isnan(mean.estimate).all()
    assert np.isnan(curve.estimate).all()
    np.testing.assert_array_equal(curve.n_at_risk, [[0, 0]])


def test_a_negative_time_or_horizon_is_named():
    with pytest.raises(ValueError, match="at must not be negative, got -1"):
        survival_at([1.0], [True], at=[-1], group=[0])
    with pytest.raises(ValueError, match="until must not be negative, got -2"):
        restricted_mean([1.0], [True], until=-2, group=[0])


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
