"""What a round adds: reliability, redundancy, decisions and the verdict."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from orchestration.statistics.proportions import wilson
from orchestration.statistics.rounds import (
    RoundStatistics,
    Thresholds,
    borderline_share,
    candidate_dropoff,
    composite_reliability,
    decisions,
    flip_rate,
    information_per_hour,
    length_needed,
    marginal_reliability,
    redundancy,
    signal_to_noise,
    spearman_brown,
    true_correlation,
    verdict,
)

# Subkoviak (1988), JEM 25, 47-55, tables 1 and 2, as in R's rcrtan: agreement and kappa
# by the cut in standard deviations (rows) and reliabilities .1 to .9.
CUTS = [0.0, 0.5, 0.7, 1.2, 2.0]
AGREEMENT = [
    [0.53, 0.56, 0.60, 0.63, 0.67, 0.70, 0.75, 0.80, 0.86],
    [0.60, 0.62, 0.65, 0.68, 0.71, 0.74, 0.78, 0.82, 0.87],
    [0.65, 0.67, 0.70, 0.72, 0.75, 0.77, 0.80, 0.84, 0.89],
    [0.80, 0.81, 0.82, 0.84, 0.85, 0.86, 0.88, 0.90, 0.93],
    [0.96, 0.96, 0.96, 0.96, 0.96, 0.97, 0.97, 0.97, 0.98],
]
KAPPA = [
    [0.06, 0.13, 0.19, 0.26, 0.33, 0.41, 0.49, 0.59, 0.71],
    [0.06, 0.12, 0.18, 0.25, 0.32, 0.40, 0.48, 0.58, 0.70],
    [0.05, 0.11, 0.17, 0.24, 0.31, 0.38, 0.47, 0.57, 0.70],
    [0.04, 0.08, 0.14, 0.19, 0.26, 0.33, 0.42, 0.52, 0.66],
    [0.02, 0.04, 0.07, 0.11, 0.16, 0.22, 0.31, 0.42, 0.58],
]

seeds = st.integers(0, 2**32 - 1)
reliabilities = st.floats(0.01, 0.99)
HEALTHY = {
    "n_candidates": 300,
    "reliability_high": 0.75,
    "reliability_with_more": 0.8,
    "marginal_high": 0.08,
    "flip_rate": 0.12,
    "delta_r2_p": 0.3,
    "redundancy": 0.6,
    "redundancy_low": 0.4,
    "borderline_share": 0.3,
    "is_sole_cover": False,
    "is_other_sole_cover": False,
}


def equal_correlations(size: int, r: float) -> np.ndarray:
    return np.full((size, size), r) + np.eye(size) * (1 - r)


def covariance(seed: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cov((rng.normal(size=(60, size)) @ rng.normal(size=(size, size))).T)


def panel(
    true: np.ndarray, single: list[float], *, n: int, seed: int, companies: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean of two raters per round, their covariances, reliabilities and errors.

    `true` holds the correlations of true scores, `single` the reliability of one rater.
    The reliability of the mean comes from the raters' differences.
    """
    rng = np.random.default_rng(seed)
    signal = np.sqrt(single)
    people = rng.normal(size=(companies, n, len(single))) @ np.linalg.cholesky(true).T
    noise = rng.normal(size=(2, *people.shape)) * np.sqrt(1 - np.array(single))
    raters = people * signal + noise
    score = raters.mean(axis=0)
    centred = score - score.mean(axis=1, keepdims=True)
    found = np.einsum("cni,cnj->cij", centred, centred) / (n - 1)
    error = ((raters[0] - raters[1]) ** 2).mean(axis=1) / 4
    reliability = 1 - error / np.diagonal(found, axis1=1, axis2=2)
    se = (1 - reliability) * np.sqrt(2 / (n - 1) + 2 / n)
    return score, found, np.clip(reliability, -1, 1), se


# Length, signal and information


def test_more_raters_raise_reliability_as_spearman_and_brown_say():
    """From one rater's .44 to two to five: .61, .70, .76, .80."""
    got = spearman_brown(0.44, length=[2, 3, 4, 5])

    np.testing.assert_allclose(got, [0.61, 0.70, 0.76, 0.80], atol=0.005)


def test_the_length_needed_is_the_published_one():
    """Nunnally (1978), Psychometric Theory, p. 244: a test with reliability .66."""
    got = length_needed(0.66, target=[0.70, 0.75, 0.80])

    np.testing.assert_allclose(got, [1.2, 1.5, 2.06], atol=0.05)
    assert got[2] == pytest.approx(2.06, abs=0.005)


@given(reliabilities, reliabilities)
def test_the_length_needed_reaches_the_target(known, target):
    length = length_needed(known, target=target)

    assert spearman_brown(known, length=length) == pytest.approx(target)


@given(reliabilities, st.floats(0.1, 10), st.floats(0.1, 10))
def test_lengthening_twice_is_lengthening_by_the_product(known, one, two):
    once = spearman_brown(known, length=one * two)

    assert spearman_brown(
        spearman_brown(known, length=one), length=two
    ) == pytest.approx(once)


def test_noise_gets_no_signal_from_length():
    assert spearman_brown(0, length=100) == 0
    assert length_needed([0, -0.1], target=0.7).tolist() == [np.inf, np.inf]
    assert np.isnan(spearman_brown(-0.5, length=4))
    assert np.isnan(length_needed(np.nan, target=0.7))


@given(reliabilities, st.integers(1, 9))
def test_signal_to_noise_adds_up_over_parallel_rounds(known, n):
    longer = spearman_brown(known, length=n)

    assert signal_to_noise(longer) == pytest.approx(n * signal_to_noise(known))


def test_half_the_hours_are_twice_the_information_an_hour():
    got = information_per_hour([0.5, 0.5, 0.8], hours=[1, 0.5, 2])

    np.testing.assert_allclose(got, [1, 2, 2])
    assert signal_to_noise(1.0) == np.inf


# Composite reliability


def test_the_composite_of_two_rounds_is_the_published_one():
    """R: psychmeta::composite_rel_matrix(c(.8, .8), r = .4) by Mosier's formula.

    (1.6 + .8) / (2 + .8).
    """
    got = composite_reliability(equal_correlations(2, 0.4), [0.8, 0.8])

    assert got == pytest.approx(6 / 7)


def test_the_reliability_of_a_difference_is_the_classical_one():
    """Lord & Novick (1968), Statistical Theories: (mean r_xx - r) / (1 - r)."""
    got = composite_reliability(equal_correlations(2, 0.6), [0.9, 0.8], weights=[1, -1])

    assert got == pytest.approx((0.85 - 0.6) / (1 - 0.6))


@given(reliabilities, st.integers(1, 6))
def test_parallel_rounds_are_one_longer_round(known, n):
    got = composite_reliability(equal_correlations(n, known), np.full(n, known))

    assert got == pytest.approx(spearman_brown(known, length=n))


@given(seeds, st.floats(0.1, 10))
def test_the_unit_of_scores_and_weights_does_not_matter(seed, factor):
    found, known = covariance(seed, 3), [0.5, 0.6, 0.7]
    weights, unit = np.array([1.0, 2, 0.5]), np.array([1, factor, 1])

    got = composite_reliability(found, known, weights=weights)

    other = composite_reliability(
        found * np.outer(unit, unit), known, weights=3 * weights / unit
    )
    assert other == pytest.approx(got, abs=1e-9)


@given(seeds)
def test_without_a_round_is_the_composite_of_the_others(seed):
    found, known = covariance(seed, 4), np.array([0.3, 0.5, 0.6, 0.8])

    got = marginal_reliability(found, known, 60)

    for out in range(4):
        kept = np.delete(np.arange(4), out)
        wanted = composite_reliability(found[np.ix_(kept, kept)], known[kept])
        assert got.without[out] == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(got.estimate, got.with_all - got.without)


def test_a_round_without_signal_lowers_the_reliability_of_the_composite():
    """Three rounds of two raters of .44 each, and one of noise: .64 to .75."""
    true = equal_correlations(4, 0.55)
    true[3, :3] = true[:3, 3] = 0
    _, found, known, se = panel(true, [0.44, 0.44, 0.44, 0.03], n=2_000, seed=1)
    standard = 1 / np.sqrt(np.diagonal(found, axis1=1, axis2=2))

    got = marginal_reliability(
        found, known, [2_000], weights=standard, reliability_se=se
    )

    assert got.with_all[0] == pytest.approx(0.64, abs=0.02)
    assert got.without[0, 3] == pytest.approx(0.75, abs=0.02)
    assert got.high[0, 3] < 0
    assert (got.low[0, :3] > 0.02).all()


def test_intervals_of_marginal_reliability_cover_the_truth():
    """2,000 companies of 100 candidates; the truth by the formula."""
    true, single = equal_correlations(4, 0.55), [0.44] * 4
    wanted = marginal_reliability(
        true * 0.44 + np.eye(4) * 0.28, np.full(4, 0.44 / 0.72), 100
    ).estimate
    _, found, known, se = panel(true, single, n=100, seed=2, companies=2_000)

    got = marginal_reliability(found, known, np.full(2_000, 100), reliability_se=se)

    covered = ((got.low <= wanted) & (got.high >= wanted)).mean(axis=0)
    assert (abs(covered - 0.95) < 0.015).all()


@given(seeds)
def test_more_candidates_and_surer_reliabilities_narrow_the_interval(seed):
    found, known = covariance(seed, 3), [0.5, 0.6, 0.7]

    wide = marginal_reliability(found, known, 50, reliability_se=0.3)
    more = marginal_reliability(found, known, 500, reliability_se=0.1)
    surer = marginal_reliability(found, known, 50, reliability_se=0.15)

    for narrow in (more, surer):
        np.testing.assert_array_equal(narrow.estimate, wide.estimate)
        assert (narrow.high - narrow.low < wide.high - wide.low).all()


@given(seeds)
def test_groups_do_not_touch_each_other(seed):
    found = np.stack([covariance(seed + code, 3) for code in range(4)])
    known = np.random.default_rng(seed).random((4, 3))
    n = np.array([30, 40, 50, 60])

    got = marginal_reliability(found, known, n, reliability_se=0.05)
    rest = redundancy(found, known, n, reliability_se=0.05)

    for code in range(4):
        alone = marginal_reliability(
            found[code], known[code], n[code], reliability_se=0.05
        )
        np.testing.assert_allclose(got.low[code], alone.low, rtol=1e-9)
        other = redundancy(found[code], known[code], n[code], reliability_se=0.05)
        np.testing.assert_allclose(rest.high[code], other.high, rtol=1e-9)


def test_an_only_round_has_nothing_beside_it():
    got = marginal_reliability([[2.0]], [0.6], 50)

    assert got.with_all == pytest.approx(0.6)
    assert np.isnan(got.without).all()
    assert np.isnan(redundancy([[2.0]], [0.6], 50).estimate).all()


def test_a_composite_that_does_not_vary_has_no_reliability():
    assert np.isnan(composite_reliability(np.zeros((2, 2)), [0.5, 0.5]))
    assert np.isnan(composite_reliability(np.full((2, 2), np.nan), [0.5, 0.5]))
    assert np.isnan(marginal_reliability(np.eye(2), [0.5, 0.5], 2).low).all()


@pytest.mark.parametrize(
    ("found", "known", "weights", "message"),
    [
        ([[1, 0.5]], [0.5], None, "covariance must be square"),
        ([[1, 0.5], [0.4, 1]], [0.5, 0.5], None, "covariance must be symmetric"),
        (np.eye(2), [0.5], None, "reliability must have one value per round"),
        (np.eye(2), [0.5, 1.5], None, r"reliability must lie in \[-1, 1\], got 1.5"),
        (np.eye(2), [0.5, 0.5], [1, 1, 1], "weights must have shape"),
    ],
)
def test_rounds_that_do_not_fit_are_named(found, known, weights, message):
    with pytest.raises(ValueError, match=message):
        composite_reliability(found, known, weights=weights)


# True correlations


def test_correction_for_attenuation_is_spearmans_and_may_exceed_one():
    """Spearman (1904), Am. J. Psychology 15, 72-101: r / sqrt(r_xx r_yy).

    The second is the example of R's CTT::disattenuated.cor(0.6, c(0.7, 0.8)).
    """
    got = true_correlation(
        [0.38, 0.6], 100, reliability=[0.25, 0.7], other_reliability=[0.55, 0.8]
    )

    np.testing.assert_allclose(got.estimate, [1.0248, 0.8018], atol=5e-5)
    np.testing.assert_allclose(got.capped, [1, 0.8018], atol=5e-5)
    assert got.high[0] > 1


def test_with_known_reliabilities_the_fisher_limits_are_divided():
    r, n = 0.4, 53
    limits = np.tanh(np.arctanh(r) + np.array([-1, 1]) * 1.959963984540054 / 50**0.5)

    got = true_correlation(r, n, reliability=0.6, other_reliability=0.7)

    assert [got.low, got.high] == pytest.approx(list(limits / np.sqrt(0.42)))


@given(st.floats(-0.9, 0.9), reliabilities, reliabilities, st.floats(0, 0.2))
def test_the_two_measures_are_alike_and_the_sign_is_kept(r, one, two, se):
    got = true_correlation(
        r, 50, reliability=one, other_reliability=two, reliability_se=se
    )

    swapped = true_correlation(
        r, 50, reliability=two, other_reliability=one, other_se=se
    )
    turned = true_correlation(
        -r, 50, reliability=one, other_reliability=two, reliability_se=se
    )
    np.testing.assert_allclose(swapped.low, got.low)
    np.testing.assert_allclose(turned.high, -got.low)
    assert got.low <= got.estimate <= got.high


def test_unsure_reliabilities_widen_the_interval():
    sure, unsure = (
        true_correlation(
            0.5, 100, reliability=0.6, other_reliability=0.6, reliability_se=se
        )
        for se in (0, 0.1)
    )

    assert unsure.low < sure.low
    assert unsure.high > sure.high
    assert unsure.estimate == sure.estimate


def test_rounds_that_measure_the_same_correlate_at_one():
    """True r 1 and .55 between rounds of two raters; a year's 157 candidates."""
    for true, found_redundant in ((1 - 1e-12, True), (0.55, False)):
        _, found, known, se = panel(
            equal_correlations(2, true), [0.44, 0.44], n=157, seed=3, companies=500
        )
        spread = np.sqrt(found[:, 0, 0] * found[:, 1, 1])

        got = true_correlation(
            found[:, 0, 1] / spread,
            157,
            reliability=known[:, 0],
            other_reliability=known[:, 1],
            reliability_se=se[:, 0],
            other_se=se[:, 1],
        )

        assert np.median(got.estimate) == pytest.approx(true, abs=0.03)
        covered = ((got.low <= true) & (got.high >= true)).mean()
        assert covered == pytest.approx(0.955, abs=0.025)
        fires = ((got.estimate >= 0.9) & (got.low > 0.7)).mean()
        assert fires > 0.75 if found_redundant else fires < 0.01


def test_intervals_of_redundancy_hold_the_truth_as_often_as_they_say():
    """1,000 loops of four rounds, two of them the same, taken by 60 candidates."""
    true = equal_correlations(4, 0.55)
    true[0, 1] = true[1, 0] = 1 - 1e-12
    wanted = redundancy(true * 0.44 + np.eye(4) * 0.28, [0.44 / 0.72] * 4, 60).estimate
    _, found, known, se = panel(true, [0.44] * 4, n=60, seed=4, companies=1_000)

    got = redundancy(found, known, np.full(1_000, 60), reliability_se=se)

    covered = ((got.low <= wanted) & (got.high >= wanted)).mean(axis=0)
    assert (abs(covered - 0.96) < 0.025).all()


@given(seeds, reliabilities, reliabilities, st.floats(0, 0.3))
def test_the_others_of_two_rounds_are_the_other_one(seed, one, two, se):
    found, counts = covariance(seed, 2), [80, 300]

    got = redundancy(found, [one, two], 60, reliability_se=se, reliability_n=counts)

    pair = true_correlation(
        found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]),
        60,
        reliability=one,
        other_reliability=two,
        reliability_se=se,
        other_se=se,
        reliability_n=counts[0],
        other_n=counts[1],
    )
    for part in ("estimate", "low", "high"):
        np.testing.assert_allclose(
            getattr(got, part), getattr(pair, part), rtol=1e-6, atol=1e-6
        )


def test_reliabilities_of_the_same_candidates_tell_more_than_those_of_others():
    """They rise and fall with the correlation that they divide."""
    same, among_many = (
        true_correlation(
            0.5,
            100,
            reliability=0.6,
            other_reliability=0.6,
            reliability_se=0.08,
            other_se=0.08,
            reliability_n=behind,
            other_n=behind,
        )
        for behind in (100, 10_000)
    )

    assert same.estimate == among_many.estimate
    assert among_many.low < same.low
    assert same.high < among_many.high


def test_a_round_is_compared_with_the_composite_of_the_others():
    found, known = equal_correlations(3, 0.42), np.array([0.6, 0.7, 0.8])

    got = redundancy(found, known, 200)

    rest = composite_reliability(equal_correlations(2, 0.42), known[1:])
    wanted = 2 * 0.42 / np.sqrt(2 * 1.42) / np.sqrt(0.6 * rest)
    assert got.estimate[0] == pytest.approx(wanted)
    assert got.low[0] < wanted < got.high[0]


def test_no_reliability_is_no_true_correlation():
    got = true_correlation(
        0.3, [100, 100, 3], reliability=[0, -0.1, 0.5], other_reliability=0.5
    )

    assert np.isnan(got.estimate[:2]).all()
    assert np.isnan(got.low).all()


def test_impossible_input_of_a_true_correlation_is_named():
    with pytest.raises(ValueError, match=r"r must lie in \[-1, 1\], got 1.1"):
        true_correlation(1.1, 50, reliability=0.5, other_reliability=0.5)
    with pytest.raises(ValueError, match="reliability_se must not be negative"):
        true_correlation(
            0.1, 50, reliability=0.5, other_reliability=0.5, reliability_se=-1
        )


# Decisions


def test_consistency_and_kappa_are_subkoviaks_tables():
    got = decisions(np.arange(1, 10) / 10, pass_rate=1 - ndtr(np.array(CUTS))[:, None])

    np.testing.assert_allclose(got.consistency, AGREEMENT, atol=0.0055)
    np.testing.assert_allclose(got.kappa, KAPPA, atol=0.0055)


def test_half_passing_agree_by_sheppards_arcsine():
    """Sheppard (1899), Phil. Trans. A 192: 1/2 + arcsin(r) / pi."""
    r = np.array([0.0, 0.3, 0.6, 0.9, 1.0])

    got = decisions(r, pass_rate=0.5)

    np.testing.assert_allclose(got.consistency, 0.5 + np.arcsin(r) / np.pi)
    np.testing.assert_allclose(got.accuracy, 0.5 + np.arcsin(np.sqrt(r)) / np.pi)


def test_a_pass_rate_of_thirty_percent_decides_as_computed_before():
    """Reliability .44, .74, .9: agreement 70, 80, 87.5 %; wrong passes 39, 25, 15 %."""
    got = decisions([0.44, 0.74, 0.9], pass_rate=0.3)

    np.testing.assert_allclose(got.consistency, [0.70, 0.80, 0.875], atol=0.005)
    np.testing.assert_allclose(got.wrong_pass_rate, [0.39, 0.25, 0.15], atol=0.005)


@given(reliabilities, st.floats(0.02, 0.98))
def test_decisions_equal_the_bivariate_normal_of_scipy(known, share):
    got = decisions(known, pass_rate=share)

    limit = np.array([ndtri(share)] * 2)
    for r, agreed in ((known, got.consistency), (known**0.5, got.accuracy)):
        both = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf(limit)
        assert agreed == pytest.approx(1 - 2 * (share - both), abs=1e-6)


@given(reliabilities, st.floats(0.02, 0.98))
def test_passing_and_failing_are_mirror_images(known, share):
    one, other = (decisions(known, pass_rate=p) for p in (share, 1 - share))

    np.testing.assert_allclose(one.consistency, other.consistency, atol=1e-12)
    np.testing.assert_allclose(one.accuracy, other.accuracy, atol=1e-12)
    assert one.consistency <= one.accuracy + 1e-12


def test_noise_decides_by_chance_and_truth_decides_right():
    noise, truth = (decisions(r, pass_rate=0.3) for r in (0, 1))

    assert noise.consistency == pytest.approx(0.58)
    assert noise.kappa == pytest.approx(0)
    assert noise.wrong_pass_rate == pytest.approx(0.7)
    assert (truth.consistency, truth.accuracy) == (1, 1)


def test_passing_all_or_none_is_consistent_and_tells_nothing():
    got = decisions(0.5, pass_rate=[0, 1])

    np.testing.assert_array_equal(got.consistency, [1, 1])
    assert np.isnan(got.kappa).all()
    assert np.isnan(got.wrong_pass_rate[0])


def test_a_negative_reliability_has_no_accuracy():
    got = decisions([-0.1, np.nan], pass_rate=0.3)

    assert got.consistency[0] < 0.58
    assert np.isnan(got.accuracy).all()


def test_an_impossible_pass_rate_is_named():
    with pytest.raises(ValueError, match=r"pass_rate must lie in \[0, 1\], got 1.3"):
        decisions(0.5, pass_rate=1.3)


# Borderline candidates


def test_candidates_on_the_edge_of_the_band_are_borderline():
    """3.2 - 3 is a little more than .2 in binary."""
    score = [2.7, 2.8, 3.0, 3.2, 3.3, np.nan, 4.0]

    got = borderline_share(score, cut=3, sem=0.2, group=[0] * 7)

    assert got.estimate == pytest.approx(0.5)
    np.testing.assert_array_equal(got.low, wilson([3], [6]).low)


def test_each_group_has_its_own_cut():
    got = borderline_share(
        [2.9, 3.9, 2.9, 3.9],
        cut=[3, 4, 3, 3],
        sem=[0.2, 0.2, 0.2, np.nan],
        group=[0, 0, 1, 3],
    )

    np.testing.assert_array_equal(got.estimate, [0.5, 0, np.nan, np.nan])


def test_a_normal_score_is_borderline_as_often_as_its_curve_says():
    score = np.random.default_rng(5).normal(size=50_000)

    got = borderline_share(score, cut=0.5, sem=0.4, group=np.zeros(50_000, int))

    assert got.estimate[0] == pytest.approx(ndtr(0.9) - ndtr(0.1), abs=0.01)


# Decisions that change without a round


def test_decisions_that_change_are_counted():
    """Two of four pass: by both rounds the first two, by the second the last two."""
    scores = [[9, 1], [8, 2], [1, 3], [0, 4]]

    got = flip_rate(scores, pass_rate=0.5, group=[0] * 4)

    np.testing.assert_array_equal(got.estimate, [[1, 0]])
    np.testing.assert_array_equal(got.low, wilson([[4, 0]], 4).low)


def test_ties_share_the_last_places():
    """One of three tied passes without the round; with it, it is the first of them."""
    scores = [[3, 1], [2, 1], [1, 1]]

    got = flip_rate(scores, pass_rate=1 / 3, group=[0] * 3)

    assert got.estimate[0, 0] == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert got.estimate[0, 1] == 0


@given(seeds)
def test_a_round_without_weight_changes_nothing(seed):
    scores = np.random.default_rng(seed).integers(1, 6, (30, 3)) / 3

    got = flip_rate(scores, pass_rate=0.4, group=np.zeros(30, int), weights=[1, 2, 0])

    assert got.estimate[0, 2] == 0
    assert (got.estimate <= 1).all()


@given(seeds)
def test_the_order_of_candidates_does_not_matter_and_groups_stay_apart(seed):
    rng = np.random.default_rng(seed)
    scores, group = rng.integers(1, 6, (40, 3)), rng.integers(0, 3, 40)
    order = rng.permutation(40)
    shares = np.array([0.2, 0.5, 0.8])

    got = flip_rate(scores, pass_rate=shares, group=group, n_groups=3)

    mixed = flip_rate(scores[order], pass_rate=shares, group=group[order], n_groups=3)
    np.testing.assert_allclose(mixed.estimate, got.estimate, atol=1e-12)
    for code in np.unique(group):
        own = group == code
        alone = flip_rate(
            scores[own], pass_rate=shares[code], group=np.zeros(own.sum(), int)
        )
        np.testing.assert_allclose(got.estimate[code], alone.estimate[0], atol=1e-12)


def test_noise_in_the_composite_changes_decisions():
    """Why a round that lowers reliability may be dropped whatever it decides."""
    true = equal_correlations(4, 0.55)
    true[3, :3] = true[:3, 3] = 0
    score, *_ = panel(true, [0.44, 0.44, 0.44, 0.03], n=20_000, seed=6)

    got = flip_rate(score[0], pass_rate=0.3, group=np.zeros(20_000, int))

    assert 0.09 < got.estimate[0, 3] < 0.13


def test_candidates_without_a_score_and_empty_groups_are_left_out():
    got = flip_rate(
        [[1, 2], [2, 1], [np.nan, 9]], pass_rate=0.5, group=[0, 0, 1], n_groups=2
    )

    assert np.isnan(got.estimate[1]).all()
    assert not np.isnan(got.estimate[0]).any()


def test_nobody_and_one_round_are_no_error():
    nobody = flip_rate(np.empty((0, 2)), pass_rate=0.5, group=[], n_groups=1)
    alone = flip_rate([[1], [2]], pass_rate=0.5, group=[0, 0])

    assert np.isnan(nobody.estimate).all()
    np.testing.assert_array_equal(alone.estimate, [[0.5]])


@pytest.mark.parametrize(
    ("scores", "share", "group", "message"),
    [
        ([[1, 2]], 0.5, [0, 0], "scores must have 2 rows"),
        ([[1, 2]], 1.5, [0], r"pass_rate must lie in \[0, 1\]"),
        ([[1, 2]], 0.5, [-1], "group must not be negative, got -1"),
    ],
)
def test_impossible_scores_are_named(scores, share, group, message):
    with pytest.raises(ValueError, match=message):
        flip_rate(scores, pass_rate=share, group=group)


# Drop-off


def test_drop_off_is_wilsons_interval_of_those_no_longer_there():
    got = candidate_dropoff([0, 5, 0], [20, 50, 0])

    np.testing.assert_allclose(got.estimate, [0, 0.1, np.nan])
    assert got.low[0] == 0
    assert got.high[0] == pytest.approx(0.161, abs=5e-4)


# Verdicts


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "keep"),
        ({"n_candidates": 99}, "unknown"),
        ({"flip_rate": np.nan}, "unknown"),
        ({"marginal_high": 0.01, "flip_rate": 0.04}, "drop_candidate"),
        ({"marginal_high": 0.01}, "keep"),
        ({"marginal_high": -0.01}, "drop_candidate"),
        ({"marginal_high": -0.01, "delta_r2_p": 0.04}, "keep"),
        ({"marginal_high": -0.01, "delta_r2_p": np.nan}, "drop_candidate"),
        ({"marginal_high": -0.01, "is_sole_cover": True}, "shorten"),
        ({"redundancy": 0.95, "redundancy_low": 0.75}, "merge"),
        ({"redundancy": 0.95, "redundancy_low": 0.65}, "keep"),
        ({"redundancy": 0.95, "redundancy_low": np.nan}, "keep"),
        (
            {"redundancy": 1.2, "redundancy_low": 0.8, "is_other_sole_cover": True},
            "keep",
        ),
        ({"redundancy": 1.2, "redundancy_low": 0.8, "is_sole_cover": True}, "keep"),
        ({"redundancy": 1.2, "redundancy_low": 0.8, "delta_r2_p": 0.01}, "keep"),
        ({"reliability_high": 0.55}, "add_rater"),
        ({"reliability_high": 0.55, "borderline_share": 0.2}, "keep"),
        ({"reliability_high": 0.55, "reliability_with_more": 0.65}, "keep"),
    ],
)
def test_the_verdict_is_the_first_rule_that_holds(changes, wanted):
    got = verdict(RoundStatistics(**{**HEALTHY, **changes}))

    assert got == wanted


def test_verdicts_of_many_rounds_are_those_of_each():
    marginal = np.array([0.08, -0.01, 0.08, np.nan])
    reliability = np.array([0.75, 0.2, 0.5, 0.5])

    got = verdict(
        RoundStatistics(
            **{**HEALTHY, "marginal_high": marginal, "reliability_high": reliability}
        )
    )

    assert got.tolist() == ["keep", "drop_candidate", "add_rater", "unknown"]


def test_the_thresholds_turn_the_verdict():
    statistics = RoundStatistics(**{**HEALTHY, "marginal_high": 0.03, "flip_rate": 0})
    loose = dataclasses.replace(Thresholds(), marginal_reliability=0.04)

    assert verdict(statistics) == "keep"
    assert verdict(statistics, loose) == "drop_candidate"
