"""Validity corrected for selection, what predictors add, and which outdo others."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from orchestration.statistics import validity
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.statistics.validity import (
    correct_direct,
    correct_multivariate,
    dominated_by,
    increments,
    meng_z,
    moments,
    multivariate_validity,
    pearson,
    sd_ratios,
    steiger_z,
    williams_t,
)

# Brownlee (1965), Statistical Theory and Methodology, 2nd ed., pp. 491-500: air flow,
# water temperature and acid concentration of a plant, and its stack loss.
STACK_LOSS = np.array(
    [
        [80, 80, 75, 62, 62, 62, 62, 62, 58, 58, 58, 58, 58, 58, 50, 50, 50, 50, 50,
         56, 70],
        [27, 27, 25, 24, 22, 23, 24, 24, 23, 18, 18, 17, 18, 19, 18, 18, 19, 19, 20,
         20, 20],
        [89, 88, 90, 87, 87, 87, 93, 93, 87, 80, 89, 88, 82, 93, 89, 86, 72, 79, 80,
         82, 91],
        [42, 37, 37, 28, 18, 18, 19, 20, 15, 14, 14, 13, 11, 12, 8, 7, 8, 8, 9, 15,
         15],
    ],
    dtype=float,
).T  # fmt: skip

seeds = st.integers(0, 2**32 - 1)
correlations = st.floats(-0.95, 0.95)


def cloud(seed: int, size: int, n: int = 40) -> np.ndarray:
    """Cases of variables that correlate at random."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, size)) @ rng.normal(size=(size, size))


def covariance(seed: int, size: int) -> np.ndarray:
    return np.cov(cloud(seed, size).T)


def equal_correlations(size: int, r: float) -> np.ndarray:
    return np.full((size, size), r) + np.eye(size) * (1 - r)


def hired(seed: int, n: int = 30_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All applicants' three rounds and outcome, who was hired, and the truth."""
    truth = equal_correlations(4, 0.35)
    truth[-1, :-1] = truth[:-1, -1] = [0.35, 0.25, 0.15]
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(n, 4)) @ np.linalg.cholesky(truth).T
    composite = people[:, :3].sum(axis=1)
    return people, composite > np.quantile(composite, 0.8), truth


# Covariances of complete cases


def test_covariances_are_those_of_complete_cases_by_group():
    values = cloud(1, 3)
    values[[0, 5, 30], [0, 1, 2]] = np.nan
    group = np.repeat([0, 1], 20)

    got = moments(values, group=group)

    complete = ~np.isnan(values).any(axis=1)
    np.testing.assert_array_equal(got.n, [18, 19])
    for code in (0, 1):
        own = values[complete & (group == code)]
        np.testing.assert_allclose(got.covariance[code], np.cov(own.T), rtol=1e-12)


def test_a_constant_variable_has_a_variance_of_exactly_zero():
    values = cloud(2, 2)
    values[:, 0] = 0.1

    got = moments(values, group=np.zeros(40, int))

    np.testing.assert_array_equal(got.covariance[0, 0], [0, 0])


def test_covariances_of_one_case_or_none_are_not_estimable():
    values = [[1, 2], [3, 4], [np.nan, 5]]

    got = moments(values, group=[0, 0, 1], n_groups=3)

    np.testing.assert_array_equal(got.n, [2, 0, 0])
    assert np.isnan(got.covariance[1:]).all()


# Correction for selection on several variables


def test_corrected_correlations_come_near_those_of_everybody():
    """Birnbaum, Paulson & Andrews (1950), Psychometrika 15, 191-204, example I.

    Selection on the fifth and first of five tests; matrices as in R's
    selection::mv.correction. Both populations are samples, so they meet only nearly.
    """
    everybody = np.array(
        [
            [1, 0.777, 0.679, 0.578, 0.427],
            [0.777, 1, 0.703, 0.527, 0.499],
            [0.679, 0.703, 1, 0.404, 0.555],
            [0.578, 0.527, 0.404, 1, 0.253],
            [0.427, 0.499, 0.555, 0.253, 1],
        ]
    )
    selected = [
        [43, 37.65, 37.24, 25.59, 14.46],
        [37.65, 72.24, 48.95, 29.04, 23.90],
        [37.24, 48.95, 82.60, 20.10, 31.24],
        [25.59, 29.04, 20.10, 68.04, 4.71],
        [14.46, 23.90, 31.24, 4.71, 48.31],
    ]
    spread = np.array([8.05, 9.93])
    known = everybody[:2, :2] * np.outer(spread, spread)

    got = correct_multivariate(selected, known)

    rows, columns = np.triu_indices(5, 1)
    cut = (np.array(selected) / np.sqrt(np.outer(*[np.diag(selected)] * 2)))[
        rows, columns
    ]
    corrected, wanted = got.correlation[rows, columns], everybody[rows, columns]
    assert corrected[0] == pytest.approx(wanted[0])
    assert np.abs(corrected - wanted).mean() < 0.03
    assert np.abs(cut - wanted).mean() > 0.1


def test_the_correction_is_the_formula_by_hand():
    """The matrices of the example of R's psychmeta::correct_matrix_mvrr.

    Both weights are .2 / (.8 + .2), so covariances are .2 (1 + .5), and the rest gains
    .04 (3 - 2).
    """
    restricted = np.full((4, 4), 0.2) + np.eye(4) * 0.6

    got = correct_multivariate(restricted, [[1, 0.5], [0.5, 1]])

    np.testing.assert_allclose(
        got.covariance,
        [[1, 0.5, 0.3, 0.3], [0.5, 1, 0.3, 0.3], [0.3, 0.3, 0.84, 0.24],
         [0.3, 0.3, 0.24, 0.84]],
        rtol=1e-12,
    )  # fmt: skip
    assert got.correlation[0, 2] == pytest.approx(0.3 / np.sqrt(0.84))
    assert got.correlation[2, 3] == pytest.approx(2 / 7)


@given(correlations, st.floats(0.2, 5))
def test_selection_on_one_predictor_is_case_two(r, ratio):
    got = correct_multivariate([[1, r], [r, 1]], [[ratio**2]])

    wanted = correct_direct(r, sd_ratio=ratio)
    np.testing.assert_allclose(got.correlation[0, 1], wanted, atol=1e-12)


def test_selection_on_a_third_variable_is_case_three():
    """Thorndike (1949), Personnel Selection, p. 174."""
    r_12, r_13, r_23, ratio = 0.2, 0.4, -0.3, 1.8
    restricted = [[1, r_12, r_13], [r_12, 1, r_23], [r_13, r_23, 1]]

    got = correct_multivariate(restricted, [[ratio**2]], selected=[2])

    gain = ratio**2 - 1
    wanted = (r_12 + r_13 * r_23 * gain) / np.sqrt(
        (1 + r_13**2 * gain) * (1 + r_23**2 * gain)
    )
    assert got.correlation[0, 1] == pytest.approx(wanted, abs=1e-14)


@given(seeds, seeds)
def test_selecting_and_correcting_gives_the_matrix_back(seed, other):
    everybody, cut = covariance(seed, 5), covariance(other, 2)
    # A nearly singular selection leaves nothing to come back from.
    cut = cut + 0.05 * np.trace(cut) * np.eye(2)

    selected = correct_multivariate(everybody, cut, selected=[3, 1]).covariance
    back = correct_multivariate(
        selected, everybody[np.ix_([3, 1], [3, 1])], selected=[3, 1]
    )

    np.testing.assert_allclose(back.covariance, everybody, rtol=1e-5, atol=1e-7)


@given(seeds)
def test_the_order_of_variables_does_not_matter(seed):
    restricted, known = covariance(seed, 4), covariance(seed + 1, 2)
    order = np.array([2, 0, 3, 1])

    straight = correct_multivariate(restricted, known)
    mixed = correct_multivariate(
        restricted[np.ix_(order, order)], known, selected=[1, 3]
    )

    np.testing.assert_allclose(
        mixed.covariance, straight.covariance[np.ix_(order, order)], rtol=1e-9
    )


def test_a_singular_group_leaves_the_others_alone():
    fine = covariance(7, 3)
    singular = np.ones((3, 3))

    got = correct_multivariate([fine, singular], np.eye(2))

    alone = correct_multivariate(fine, np.eye(2))
    np.testing.assert_array_equal(got.covariance[0], alone.covariance)
    assert np.isnan(got.covariance[1, 2]).all()


def test_validity_that_selection_turned_negative_is_found_again():
    people, is_hired, truth = hired(11)
    one = np.zeros(people.shape[0], int)
    cut = moments(people[is_hired], group=one[is_hired])
    everybody = moments(people[:, :3], group=one)

    got = multivariate_validity(
        cut.covariance, cut.n, unrestricted=everybody.covariance
    )

    observed = np.corrcoef(people[is_hired].T)[3, 2]
    assert observed < -0.02
    np.testing.assert_allclose(got.estimate[0], truth[3, :3], atol=0.03)
    assert (got.low < truth[3, :3]).all()
    assert (got.high > truth[3, :3]).all()


@given(seeds)
def test_validity_is_the_entry_of_the_corrected_matrix(seed):
    restricted, known = covariance(seed, 4), covariance(seed + 1, 3)

    got = multivariate_validity(restricted, 40, unrestricted=known)

    whole = correct_multivariate(restricted, known).correlation
    np.testing.assert_allclose(got.estimate, whole[3, :3], atol=1e-10)
    assert (got.low < got.estimate).all()
    assert (got.high > got.estimate).all()


def test_intervals_of_corrected_validity_cover_the_truth():
    """1,500 companies with 100 hires of 500 each; the applicants are a sample too."""
    truth = equal_correlations(3, 0.3)
    rng = np.random.default_rng(4)
    people = rng.normal(size=(1_500, 500, 3)) @ np.linalg.cholesky(truth).T
    best = np.argsort(-people[..., :2].sum(axis=-1), axis=1)[:, :100, None]
    company = np.arange(1_500)
    cut = moments(
        np.take_along_axis(people, best, axis=1).reshape(-1, 3),
        group=np.repeat(company, 100),
    )
    all_of_them = moments(people[..., :2].reshape(-1, 2), group=np.repeat(company, 500))

    got = multivariate_validity(
        cut.covariance, cut.n, unrestricted=all_of_them.covariance
    )

    covered = ((got.low <= 0.3) & (got.high >= 0.3)).mean(axis=0)
    assert (abs(covered - 0.945) < 0.02).all()


def test_limits_of_few_hires_hold_corrected_validity_as_often_as_they_say():
    """3,000 companies with 20 hires of 100 each, by two rounds."""
    truth = equal_correlations(3, 0.3)
    rng, company = np.random.default_rng(5), np.arange(3_000)
    people = rng.normal(size=(3_000, 100, 3)) @ np.linalg.cholesky(truth).T
    best = np.argsort(-people[..., :2].sum(axis=-1), axis=1)[:, :20, None]
    cut = moments(
        np.take_along_axis(people, best, axis=1).reshape(-1, 3),
        group=np.repeat(company, 20),
    )

    got = multivariate_validity(cut.covariance, cut.n, unrestricted=truth[:2, :2])

    covered = ((got.low <= 0.3) & (got.high >= 0.3)).mean(axis=0)
    assert (abs(covered - 0.955) < 0.02).all()


@given(seeds, st.integers(10, 200))
def test_corrected_validity_excludes_zero_where_the_regression_does(seed, n):
    """Of one predictor, the t test of its slope; whatever the applicants' spread."""
    restricted = covariance(seed, 2)
    r = restricted[0, 1] / np.sqrt(restricted[0, 0] * restricted[1, 1])

    got = multivariate_validity(restricted, n, unrestricted=[[7.0]])

    t = r * np.sqrt((n - 2) / (1 - r**2))
    is_significant = 2 * stdtr(n - 2, -abs(t)) < 0.05
    assert (got.low[0] > 0 or got.high[0] < 0) == is_significant


def test_limits_of_one_predictor_without_selection_are_fiellers_of_its_ratio():
    """R: cars has r = .8068949 of 50; r / sqrt(1 - r²) is beta over its residual sd.

    By hand, with t = 2.010635 of 48 df: (part - u rest)² = t² (V1 + u² V2).
    """
    r, square = 0.8068949, 2.010635**2
    noise = (1 - r**2) * 49 / 48
    of_part, of_rest = noise / 49, noise / (2 * 48)

    got = multivariate_validity([[1, r], [r, 1]], 50, unrestricted=[[1]])

    roots = np.roots(
        [noise - square * of_rest, -2 * r * np.sqrt(noise), r**2 - square * of_part]
    )
    wanted = np.sort(roots / np.sqrt(1 + roots**2))
    np.testing.assert_allclose([got.low[0], got.high[0]], wanted, atol=1e-6)


def test_validity_without_any_spread_left_has_no_limits_and_few_cases_no_bounds():
    perfect = multivariate_validity([[1.0, 2.0], [2.0, 4.0]], 9, unrestricted=[[3.0]])

    few = multivariate_validity([[1.0, 0.9], [0.9, 1.0]], 3, unrestricted=[[1.0]])

    assert perfect.estimate[0] == 1
    assert np.isnan([perfect.low[0], perfect.high[0]]).all()
    assert (few.low[0], few.high[0]) == (-1, 1)


def test_more_cases_narrow_the_interval_of_corrected_validity():
    restricted = covariance(3, 3)

    few, many, none = (
        multivariate_validity(restricted, n, unrestricted=np.eye(2) * 9)
        for n in (20, 2_000, 3)
    )

    np.testing.assert_array_equal(few.estimate, many.estimate)
    assert (many.high - many.low < few.high - few.low).all()
    assert np.isnan(none.estimate).all()


@pytest.mark.parametrize(
    ("restricted", "unrestricted", "selected", "message"),
    [
        ([[1, 0.5]], [[1]], None, "restricted must be square"),
        ([[1, 0.5], [0.4, 1]], [[1]], None, "restricted must be symmetric"),
        (np.eye(2), [[1, 0.3], [0.2, 1]], None, "unrestricted must be symmetric"),
        (np.eye(2), [[1]], [2], "selected must be 1 different places below 2"),
        (np.eye(3), np.eye(2), [1, 1], "selected must be 2 different places"),
    ],
)
def test_matrices_that_do_not_fit_are_named(
    restricted, unrestricted, selected, message
):
    with pytest.raises(ValueError, match=message):
        correct_multivariate(restricted, unrestricted, selected=selected)


# What a predictor adds to the others


def test_stack_loss_regression_is_the_published_one():
    """R: summary(lm(stack.loss ~ ., stackloss)); coefficients, t, p and R²."""
    found = moments(STACK_LOSS, group=np.zeros(21, int))

    got = increments(found.covariance[0], found.n[0])

    spread = STACK_LOSS.std(axis=0)
    np.testing.assert_allclose(
        got.weight * spread[3] / spread[:3], [0.7156, 1.2953, -0.1521], atol=5e-5
    )
    np.testing.assert_allclose(np.sqrt(got.f), [5.307, 3.520, 0.973], atol=5e-4)
    np.testing.assert_allclose(got.p, [5.8e-05, 0.00263, 0.34405], rtol=2e-3)
    assert got.r_squared == pytest.approx(0.9136, abs=5e-5)


def test_interval_of_a_semipartial_correlation_is_the_published_one():
    """R: statpsych::ci.spcor(.05, .582, .699, 20) gives [0.2525662, 0.7905182]."""
    other = np.sqrt(0.699 - 0.582**2)
    correlation = [[1, 0, 0.582], [0, 1, other], [0.582, other, 1]]

    got = increments(correlation, 20)

    assert got.low[0] == pytest.approx(0.2525662**2, abs=1e-7)
    assert got.high[0] == pytest.approx(0.7905182**2, abs=1e-7)


@given(seeds, st.integers(1, 4))
def test_increments_equal_a_regression_without_the_predictor(seed, size):
    values = cloud(seed, size + 1)
    found = moments(values, group=np.zeros(40, int))

    got = increments(found.covariance[0], 40)

    full = sm.OLS(values[:, -1], sm.add_constant(values[:, :-1])).fit()
    reduced = sm.OLS(values[:, -1], sm.add_constant(values[:, 1:-1])).fit()
    f, p, _ = full.compare_f_test(reduced)
    assert got.unique_r2[0] == pytest.approx(full.rsquared - reduced.rsquared, abs=1e-9)
    assert got.f[0] == pytest.approx(f, rel=1e-5)
    assert got.p[0] == pytest.approx(p, rel=1e-4, abs=1e-12)


@given(seeds)
def test_increments_do_not_know_the_scale_or_the_order(seed):
    found = covariance(seed, 4)
    scale = np.array([2, 0.1, 30, 5])
    order = np.array([2, 0, 1, 3])

    got = increments(found, 40)

    other = increments((found * np.outer(scale, scale))[np.ix_(order, order)], 40)
    np.testing.assert_allclose(other.unique_r2, got.unique_r2[order[:3]], atol=1e-10)
    np.testing.assert_allclose(other.weight, got.weight[order[:3]], atol=1e-10)


@given(seeds)
def test_twice_the_cases_keep_the_estimates_and_narrow_the_intervals(seed):
    found = covariance(seed, 3)

    once, twice = increments(found, 40), increments(found, 80)

    np.testing.assert_array_equal(once.unique_r2, twice.unique_r2)
    assert (twice.high <= once.high).all()
    assert (twice.low >= once.low).all()
    assert (twice.p <= once.p).all()


@given(seeds)
def test_interval_holds_the_unique_share_and_lies_in_the_unit(seed):
    got = increments(covariance(seed, 4), 40)

    assert (got.low >= 0).all()
    assert (got.low <= got.unique_r2).all()
    assert (got.unique_r2 <= got.high).all()
    assert (got.high <= 1).all()


def test_interval_starts_at_zero_as_often_as_nothing_is_added():
    """Under no contribution the interval holds 0, and p exceeds .05, in 95 % of runs.

    The first of three correlated predictors has a regression weight of 0.
    """
    truth = equal_correlations(4, 0.5)
    truth[0, 3] = truth[3, 0] = 0.25
    truth[1:3, 3] = truth[3, 1:3] = 0.375
    rng = np.random.default_rng(8)
    values = rng.normal(size=(4_000 * 60, 4)) @ np.linalg.cholesky(truth).T
    found = moments(values, group=np.repeat(np.arange(4_000), 60))

    got = increments(found.covariance, found.n)

    assert abs((got.low[:, 0] == 0).mean() - 0.95) < 0.015
    assert abs((got.p[:, 0] >= 0.05).mean() - 0.95) < 0.015


def test_one_predictor_adds_its_squared_correlation():
    got = increments([[1, 0.3], [0.3, 1]], 100)

    assert got.unique_r2[0] == pytest.approx(0.09)
    assert got.r_squared == pytest.approx(0.09)
    assert got.weight[0] == pytest.approx(0.3)
    assert got.p[0] == pytest.approx(0.0024, abs=5e-5)


@pytest.mark.parametrize(
    ("matrix", "n"),
    [
        (np.eye(3), 3),
        (np.eye(3), 0),
        (np.diag([1.0, 0.0, 1.0]), 50),
        ([[1, 1, 0.3], [1, 1, 0.3], [0.3, 0.3, 1]], 50),
        ([[1, -0.9, 0.8], [-0.9, 1, 0.8], [0.8, 0.8, 1]], 50),
        (np.full((3, 3), np.nan), 50),
    ],
    ids=["no freedom", "nobody", "constant", "collinear", "impossible", "missing"],
)
def test_what_cannot_be_told_apart_is_not_estimated(matrix, n):
    fine = covariance(5, 3)

    got = increments([matrix, fine], [n, 30])

    assert np.isnan(got.unique_r2[0]).all()
    assert np.isnan(got.p[0]).all()
    np.testing.assert_array_equal(got.unique_r2[1], increments(fine, 30).unique_r2)


def test_a_matrix_without_a_predictor_is_named():
    with pytest.raises(ValueError, match="matrix must have 2 rows"):
        increments([[1.0]], 30)


def test_a_negative_number_of_cases_is_named():
    with pytest.raises(ValueError, match="n must not be negative, got -1"):
        increments(np.eye(3), -1)


# Correlations of the same people compared


def test_williams_t_is_the_published_one():
    """DEPCOR, Silver, Hittner & May (2006), Appl. Psychol. Meas. 30, 152-153."""
    got = williams_t(0.3, 0.4, r_kh=0.5, n=100)

    assert got.statistic == pytest.approx(-1.0767, abs=5e-5)
    assert got.p == pytest.approx(0.2843, abs=5e-5)


def test_steiger_case_a_is_the_published_one():
    """Steiger (1980), Psychological Bulletin 87, p. 249: -.8913.

    R: psych::r.test(103, .4, .5, .1) gives t = -0.89 with p < 0.37.
    """
    got = williams_t(0.4, 0.5, r_kh=0.1, n=103)

    assert got.statistic == pytest.approx(-0.8913, abs=5e-5)
    assert got.p == pytest.approx(0.37, abs=0.005)


def test_steiger_case_b_is_the_published_one():
    """Steiger (1980), p. 249: -1.4045, of rounded deviates; R's cocor gives -1.4050."""
    got = steiger_z(0.5, 0.6, r_jh=0.8, r_jm=0.5, r_kh=0.5, r_km=0.7, n=103)

    assert got.statistic == pytest.approx(-1.4045, abs=6e-4)
    assert got.statistic == pytest.approx(-1.4050, abs=5e-5)


def test_steiger_z_is_that_of_depcor():
    """Silver, Hittner & May (2006), Appl. Psychol. Meas. 30, 152-153."""
    got = steiger_z(0.3, 0.4, r_jh=0.5, r_kh=0.6, r_km=0.7, r_jm=0.8, n=100)

    assert got.statistic == pytest.approx(-1.0744, abs=5e-5)
    assert got.p == pytest.approx(0.2827, abs=5e-5)


def test_meng_z_is_the_published_one():
    """Meng, Rosenthal & Rubin (1992), Psychological Bulletin 111: one-sided p .047."""
    got = meng_z(0.63, -0.03, r_kh=-0.19, n=15)

    assert got.statistic == pytest.approx(1.68, abs=0.005)
    assert got.p / 2 == pytest.approx(0.047, abs=5e-4)


def test_meng_z_over_a_range_is_that_of_may_and_hittner():
    """May & Hittner (1997), Psychological Reports 80, 475-480; n = 50."""
    between = np.arange(9) / 10

    low = meng_z(0.5, 0.2, r_kh=between, n=50)
    high = meng_z(0.7, 0.4, r_kh=between, n=50)

    np.testing.assert_allclose(
        low.statistic,
        [1.62, 1.70, 1.80, 1.91, 2.06, 2.245, 2.50, 2.87, 3.50],
        atol=0.005,
    )
    np.testing.assert_allclose(
        high.statistic,
        [2.03, 2.10, 2.20, 2.32, 2.47, 2.66, 2.94, 3.35, 4.05],
        atol=0.005,
    )


def test_intervals_of_differences_are_the_published_ones():
    """Zou (2007), Psychological Methods 12, 399-413: [-.093, .517], [-.096, .500]."""
    shared = williams_t(0.396, 0.179, r_kh=0.088, n=66)
    apart = steiger_z(
        0.396, 0.189, r_jh=0.208, r_kh=0.023, r_km=0.423, r_jm=0.143, n=66
    )

    assert (shared.low, shared.high) == pytest.approx((-0.093, 0.517), abs=5e-4)
    assert (apart.low, apart.high) == pytest.approx((-0.096, 0.500), abs=1e-3)


@given(correlations, correlations, correlations)
def test_swapping_the_two_turns_the_sign(one, two, between):
    for test in (williams_t, meng_z):
        there, back = (
            test(a, b, r_kh=between, n=50) for a, b in ((one, two), (two, one))
        )
        np.testing.assert_allclose(back.statistic, -there.statistic, atol=1e-12)
        np.testing.assert_allclose(back.low, -there.high, atol=1e-12)
        np.testing.assert_allclose(back.p, there.p, atol=1e-12)


def test_equal_correlations_do_not_differ():
    got = williams_t([0.3, 0.0], [0.3, 0.0], r_kh=0.5, n=100)

    np.testing.assert_array_equal(got.statistic, 0)
    np.testing.assert_array_equal(got.p, 1)


def test_williams_t_errs_in_five_percent_of_equal_validities():
    truth = equal_correlations(3, 0.5)
    truth[-1, :2] = truth[:2, -1] = 0.3
    rng = np.random.default_rng(9)
    values = rng.normal(size=(4_000 * 60, 3)) @ np.linalg.cholesky(truth).T
    found = moments(values, group=np.repeat(np.arange(4_000), 60)).covariance
    spread = np.sqrt(np.diagonal(found, axis1=1, axis2=2))
    r = found / (spread[:, :, None] * spread[:, None, :])

    got = williams_t(r[:, 0, 2], r[:, 1, 2], r_kh=r[:, 0, 1], n=60)

    assert abs((got.p < 0.05).mean() - 0.05) < 0.012


def test_three_cases_compare_nothing():
    for got in (
        williams_t(0.3, 0.5, r_kh=0.1, n=3),
        meng_z(0.3, 0.5, r_kh=0.1, n=3),
        steiger_z(0.3, 0.5, r_jh=0, r_jm=0, r_kh=0, r_km=0, n=3),
    ):
        assert np.isnan([got.statistic, got.p, got.low, got.high]).all()


def test_an_impossible_correlation_is_named():
    with pytest.raises(ValueError, match=r"r must lie in \[-1, 1\], got 1.2"):
        williams_t(1.2, 0.5, r_kh=0.1, n=30)


# Predictors that another outdoes


def test_a_clearly_less_valid_predictor_is_dominated_by_the_best():
    matrix = equal_correlations(4, 0.2)
    matrix[-1, :3] = matrix[:3, -1] = [0.05, 0.35, 0.5]

    got = dominated_by(matrix, 400)

    np.testing.assert_array_equal(got.by, [2, 2, -1])


def test_dominance_is_controlled_inside_the_group():
    matrix = equal_correlations(4, 0.2)
    matrix[-1, :3] = matrix[:3, -1] = [0.1, 0.3, 0.4]

    got = dominated_by(matrix, 120)

    p = [
        williams_t(matrix[3, i], matrix[3, j], r_kh=0.2, n=120).p
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    np.testing.assert_allclose(
        got.q[[0, 0, 1], [1, 2, 2]], benjamini_hochberg(p), rtol=1e-12
    )
    np.testing.assert_array_equal(got.q, got.q.T)
    assert np.isnan(np.diag(got.q)).all()


@given(seeds)
def test_groups_do_not_touch_each_other(seed):
    matrices = np.stack([covariance(seed + code, 4) for code in range(3)])
    n = np.array([30, 100, 400])

    got = dominated_by(matrices, n)

    for code in range(3):
        alone = dominated_by(matrices[code], n[code])
        np.testing.assert_array_equal(got.by[code], alone.by)
        np.testing.assert_allclose(got.q[code], alone.q, rtol=1e-12)


def test_predictors_that_predict_downwards_do_not_dominate():
    matrix = equal_correlations(3, 0.0)
    matrix[-1, :2] = matrix[:2, -1] = [-0.5, 0.1]

    got = dominated_by(matrix, 300)

    np.testing.assert_array_equal(got.by, [1, -1])


@pytest.mark.parametrize("n", [0, 3])
def test_few_cases_dominate_nothing(n):
    matrix = equal_correlations(3, 0.0)
    matrix[-1, :2] = matrix[:2, -1] = [0.1, 0.9]

    got = dominated_by(matrix, n)

    np.testing.assert_array_equal(got.by, [-1, -1])


def test_an_only_predictor_is_not_dominated():
    got = dominated_by([[1, 0.2], [0.2, 1]], 100)

    np.testing.assert_array_equal(got.by, [-1])


# The simple correction


def test_corrections_transform_the_limits_of_the_observed_validity():
    values = cloud(12, 2, n=60)
    group = np.zeros(60, int)

    got = validity.predictive_validity(
        values[:, 0], values[:, 1], group=group, sd_ratio=1.6
    )

    observed = pearson(values[:, 0], values[:, 1], group=group)
    for name in ("estimate", "low", "high"):
        np.testing.assert_array_equal(
            getattr(got.corrected, name),
            correct_direct(getattr(observed, name), sd_ratio=1.6),
        )


def test_a_correlation_within_strata_is_the_partial_one() -> None:
    """Strata as dummy variables of a regression: the same t, and Fisher's n."""
    rng = np.random.default_rng(4)
    stratum = np.repeat([0, 1, 2], [9, 14, 22])
    x = rng.normal(size=45) + 2 * stratum
    y = 0.4 * x + rng.normal(size=45) - 3 * stratum
    dummies = np.column_stack([np.eye(3)[stratum], x])
    t = sm.OLS(y, dummies).fit().tvalues[-1]

    within = pearson(x, y, group=np.zeros(45, int), stratum=stratum)

    r = t / np.sqrt(t**2 + 45 - 4)
    assert within.estimate[0] == pytest.approx(r, rel=1e-12)
    assert within.n[0] == 45
    half = 1.959963984540054 / np.sqrt(45 - 2 - 3)
    assert within.low[0] == pytest.approx(np.tanh(np.arctanh(r) - half), rel=1e-12)


@given(seeds)
def test_one_stratum_changes_nothing_and_shifts_of_strata_neither(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, 60)
    stratum = rng.integers(0, 4, 60)
    x, y, hired_now = rng.normal(size=60), rng.normal(size=60), rng.random(60) < 0.4
    shift = rng.normal(size=(3, 4))[group, stratum] * 10

    plain = pearson(x, y, group=group, n_groups=3)
    single = pearson(x, y, group=group, stratum=0 * group, n_groups=3)
    moved = pearson(x + shift, y, group=group, stratum=stratum, n_groups=3)
    still = pearson(x, y, group=group, stratum=stratum, n_groups=3)
    ratio = sd_ratios(x, hired_now, group=group, stratum=stratum, n_groups=3)
    shifted = sd_ratios(x + shift, hired_now, group=group, stratum=stratum, n_groups=3)

    np.testing.assert_array_equal(single.estimate, plain.estimate)
    np.testing.assert_array_equal(single.low, plain.low)
    np.testing.assert_allclose(moved.estimate, still.estimate, rtol=1e-9)
    np.testing.assert_allclose(shifted, ratio, rtol=1e-9)


def test_the_spread_within_strata_loses_a_degree_of_freedom_for_each() -> None:
    score = np.array([1.0, 3, 11, 13, 15, 40])
    is_hired = np.array([True, True, True, True, True, False])
    stratum = np.array([0, 0, 1, 1, 1, 2])

    ratio = sd_ratios(score, is_hired, group=np.zeros(6, int), stratum=stratum)

    # Squares about the strata's means are 2 + 8 for both, by 6 - 3 and 5 - 2.
    assert ratio[0] == 1
    alone = sd_ratios(score, is_hired, group=np.zeros(6, int), stratum=np.arange(6))
    assert np.isnan(alone[0])


def test_covariances_within_strata_are_those_of_a_regression_on_them() -> None:
    rng = np.random.default_rng(6)
    stratum = np.repeat([0, 1, 2], [5, 9, 16])
    values = rng.normal(size=(30, 3)) + 4 * stratum[:, None]
    dummies = np.eye(3)[stratum]
    residual = values - dummies @ np.linalg.lstsq(dummies, values, rcond=None)[0]

    within = moments(values, group=np.zeros(30, int), stratum=stratum)

    assert within.n[0] == 28
    np.testing.assert_allclose(
        within.covariance[0], residual.T @ residual / 27, rtol=1e-12
    )
