"""Score gaps, the ratios to expect from them, and differential item functioning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import nct, ttest_ind
from statsmodels.discrete.discrete_model import Logit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.stats.contingency_tables import StratifiedTable

from orchestration.statistics.gaps import (
    ets_category,
    expected_ratio,
    gap_at_ratio,
    mantel_dif,
    moments,
    ordinal_dif,
    score_gap,
)

# Miles per gallon of cars with manual and automatic gears: Henderson & Velleman (1981),
# Biometrics 37, 391-411, as in R's mtcars.
MANUAL = [21, 21, 22.8, 32.4, 30.4, 33.9, 27.3, 26, 30.4, 15.8, 19.7, 15, 21.4]
AUTOMATIC = [
    21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4, 14.7,
    21.5, 15.5, 15.2, 13.3, 19.2,
]  # fmt: skip

# Wrong and right on item S2WantShout by total score 0 to 24, women then men: the verbal
# aggression data of Vansteelandt (2000), as in R's difR.
SHOUT = [
    [[4, 0], [0, 0]], [[3, 0], [1, 0]], [[8, 1], [1, 0]], [[6, 1], [0, 0]],
    [[12, 3], [3, 0]], [[7, 2], [3, 1]], [[8, 1], [2, 0]], [[8, 6], [2, 1]],
    [[10, 4], [5, 2]], [[8, 7], [4, 1]], [[9, 7], [3, 0]], [[6, 7], [2, 0]],
    [[6, 9], [3, 1]], [[5, 4], [3, 3]], [[4, 16], [5, 0]], [[6, 12], [2, 3]],
    [[2, 7], [2, 5]], [[1, 5], [0, 3]], [[1, 8], [2, 1]], [[0, 8], [0, 2]],
    [[0, 5], [1, 0]], [[0, 6], [0, 3]], [[0, 5], [0, 0]], [[0, 1], [0, 2]],
    [[0, 4], [0, 1]],
]  # fmt: skip

# Improvement of arthritis by sex, placebo then active: Koch & Edwards (1988).
ARTHRITIS = [[[19, 7, 6], [6, 5, 16]], [[10, 0, 1], [7, 2, 5]]]

# Ratings 1 to 3 of low and high performers, reference then focal: Zwick & Thayer
# (1996), Table 2, as printed in Rasch Measurement Transactions 10:3.
PERFORMERS = [[[13, 5, 7], [5, 14, 4]], [[28, 54, 98], [1, 2, 10]]]

# Mental impairment, life events and high status of 40 people: Agresti (2002),
# Categorical Data Analysis, Table 7.5.
IMPAIRMENT = np.repeat([0, 1, 2, 3], [12, 12, 7, 9])
EVENTS = np.array([
    1, 9, 4, 3, 2, 0, 1, 3, 3, 7, 1, 2, 5, 6, 3, 1, 8, 2, 5, 5,
    9, 3, 3, 1, 0, 4, 3, 9, 6, 4, 3, 8, 2, 7, 5, 4, 4, 8, 8, 9,
])  # fmt: skip
STATUS = np.array([
    1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1,
    1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0,
])  # fmt: skip

ratings = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=60,
)
scores = st.lists(st.integers(1, 5), min_size=2, max_size=12)


def people(table, *, lowest=0) -> dict:
    """Rows of people from counts by total, reference and focal, and level."""
    counts = np.asarray(table)
    total, side, level = np.nonzero(counts)
    times = counts[total, side, level]
    return {
        "score": np.repeat(level + lowest, times),
        "matched": np.repeat(total, times),
        "is_focal": np.repeat(side == 1, times),
        "slice_code": np.zeros(times.sum(), dtype=int),
    }


def rows_of(rows) -> dict:
    score, matched, is_focal = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "score": score,
        "matched": matched,
        "is_focal": is_focal,
        "slice_code": np.zeros(score.size, dtype=int),
    }


def gap_of(focal, other):
    one, two = (moments(side, group=[0] * len(side)) for side in (focal, other))
    return score_gap(
        one.n,
        one.mean,
        one.sd,
        reference_n=two.n,
        reference_mean=two.mean,
        reference_sd=two.sd,
    )


def panel(rng, *, n_slices, n_side, impact, dif=0.0, n_ratings=4) -> tuple:
    """Five-point ratings of two groups, side and slice of each person."""
    is_focal = np.tile(np.repeat([False, True], n_side), n_slices)
    slice_code = np.repeat(np.arange(n_slices), 2 * n_side)
    ability = rng.normal(size=is_focal.size) + impact * is_focal
    shown = np.repeat(1.7 * ability[:, None], n_ratings, axis=1)
    shown[:, 0] += dif * is_focal
    noise = rng.logistic(size=(*shown.shape, 1))
    return (
        (shown[:, :, None] + noise > [-2.5, -1.0, 0.5, 2.0]).sum(axis=2) + 1,
        is_focal,
        slice_code,
    )


def test_hedges_g_is_that_of_borenstein():
    """Borenstein et al. (2009), Introduction to Meta-Analysis, 26-27."""
    gap = score_gap(50, 103, 5.5, reference_n=50, reference_mean=100, reference_sd=4.5)

    assert gap.d == pytest.approx(0.5970, abs=5e-5)
    assert gap.g == pytest.approx(0.5924, abs=5e-5)


def test_gap_of_cars_equals_r():
    """hedges_g and cohens_d of effectsize 0.8.3, t.test(mpg ~ am, mtcars)."""
    gap = gap_of(AUTOMATIC, MANUAL)

    assert gap.d == pytest.approx(-1.477947, abs=5e-7)
    assert gap.g == pytest.approx(-1.440635, abs=5e-7)
    assert gap.low == pytest.approx(-2.265973, abs=2e-6)
    assert gap.high == pytest.approx(-0.670569, abs=2e-6)
    assert gap.welch_t == pytest.approx(-3.7671, abs=5e-5)
    assert gap.welch_df == pytest.approx(18.332, abs=5e-4)
    assert gap.welch_p == pytest.approx(0.001374, abs=5e-7)


@given(scores, scores)
def test_bounds_leave_the_same_chance_on_both_sides(focal, other):
    gap = gap_of(focal, other)

    if not np.isnan(gap.d):
        freedom = len(focal) + len(other) - 2
        root = np.sqrt(len(focal) * len(other) / (len(focal) + len(other)))
        for bound, chance in ((gap.low, 0.975), (gap.high, 0.025)):
            tail = nct.cdf(gap.d * root, freedom, bound * root)
            assert tail == pytest.approx(chance, abs=1e-5)


@given(scores, scores)
def test_welch_equals_scipy(focal, other):
    gap = gap_of(focal, other)

    if len(set(focal)) > 1 and len(set(other)) > 1:
        peer = ttest_ind(focal, other, equal_var=False)
        assert gap.welch_t == pytest.approx(peer.statistic, rel=1e-9, abs=1e-12)
        assert gap.welch_df == pytest.approx(peer.df, rel=1e-9)
        assert gap.welch_p == pytest.approx(peer.pvalue, rel=1e-7)
    elif len(set(focal)) == len(set(other)):
        assert np.isnan(gap.welch_t)


@given(scores, scores)
def test_swapping_the_groups_turns_the_gap_round(focal, other):
    one = gap_of(focal, other)

    two = gap_of(other, focal)

    np.testing.assert_allclose(two.g, -one.g, rtol=1e-12)
    np.testing.assert_allclose(two.low, -one.high, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(two.welch_t, -one.welch_t, rtol=1e-12)


@given(scores, scores)
def test_the_gap_has_no_unit(focal, other):
    one = gap_of(focal, other)

    two = gap_of(*(10 * np.array(side) - 7 for side in (focal, other)))

    np.testing.assert_allclose(two.d, one.d, rtol=1e-9, atol=1e-12)


def test_more_of_the_same_people_narrow_the_interval():
    once = gap_of(AUTOMATIC, MANUAL)

    twice = gap_of(AUTOMATIC * 2, MANUAL * 2)

    assert once.low < twice.low < twice.high < once.high
    assert abs(twice.welch_t) > abs(once.welch_t)


def test_g_is_unbiased_and_its_interval_covers_in_small_groups():
    rng = np.random.default_rng(20261124)
    focal, other = rng.normal(-0.5, 1, (4000, 5)), rng.normal(0, 1, (4000, 8))

    gap = score_gap(
        5,
        focal.mean(axis=1),
        focal.std(axis=1, ddof=1),
        reference_n=8,
        reference_mean=other.mean(axis=1),
        reference_sd=other.std(axis=1, ddof=1),
    )

    assert gap.g.mean() == pytest.approx(-0.5, abs=3 * gap.g.std() / np.sqrt(4000))
    covered = np.mean((gap.low <= -0.5) & (gap.high >= -0.5))
    assert covered == pytest.approx(0.95, abs=0.011)


def test_a_single_person_can_be_compared_but_not_tested():
    gap = gap_of([5], [1, 2, 3, 4])

    assert gap.d == pytest.approx(2.5 / np.std([1, 2, 3, 4], ddof=1))
    assert np.isnan(gap.welch_p)


@pytest.mark.parametrize(
    ("focal", "other"),
    [([], [1, 2, 3, 4]), ([3, 3, 3], [3, 3]), ([3, 3], [4, 4]), ([1], [2, 3])],
)
def test_gaps_without_people_or_spread_are_not_estimable(focal, other):
    gap = (
        gap_of(np.array(focal, float), np.array(other, float))
        if focal
        else score_gap(
            0, np.nan, np.nan, reference_n=4, reference_mean=2.5, reference_sd=1.0
        )
    )

    assert np.isnan([gap.d, gap.g, gap.low, gap.high]).all()


def test_moments_are_by_group_and_leave_missing_scores_out():
    result = moments([1, 3, np.nan, 5, 7, 9], group=[0, 0, 0, 2, 2, 2], n_groups=4)

    np.testing.assert_array_equal(result.n, [2, 0, 3, 0])
    np.testing.assert_array_equal(result.mean, [2, np.nan, 7, np.nan])
    np.testing.assert_allclose(result.sd, [np.sqrt(2), np.nan, 2, np.nan])


def test_moments_keep_their_digits_far_from_zero():
    result = moments(1e9 + np.array([0.0, 1.0, 2.0]), group=[0] * 3)

    assert result.sd == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("d", "selection_ratio", "focal_share", "ratio"),
    [(-0.40, 0.10, 0.15, 0.4708164), (-0.15, 0.25, 0.30, 0.823414)],
)
def test_expected_ratio_equals_iopsych(d, selection_ratio, focal_share, ratio):
    """aiEst of R's iopsych 0.90.1, after De Corte & Lievens (2003)."""
    got = expected_ratio(d, selection_ratio=selection_ratio, focal_share=focal_share)

    assert got == pytest.approx(ratio, abs=3e-6)


def test_without_focal_candidates_the_reference_is_selected_at_the_overall_rate():
    got = expected_ratio(-0.4, selection_ratio=0.1, focal_share=0)

    assert got == pytest.approx(ndtr(ndtri(0.1) - 0.4) / 0.1, rel=1e-12)


@given(st.floats(-3, 3), st.floats(0.01, 0.95), st.floats(0, 1))
def test_gap_at_ratio_is_the_way_back(d, selection_ratio, focal_share):
    shares = {"selection_ratio": selection_ratio, "focal_share": focal_share}

    ratio = expected_ratio(d, **shares)

    assert np.sign(np.round(ratio - 1, 9)) == np.sign(np.round(d, 9)) or abs(d) < 1e-6
    assert gap_at_ratio(ratio, **shares) == pytest.approx(d, abs=1e-7)


def test_the_same_gap_costs_more_the_fewer_are_selected():
    ratio = expected_ratio(-0.4, selection_ratio=[0.5, 0.2, 0.05], focal_share=0.3)

    assert (np.diff(ratio) < 0).all()


def test_ratios_that_cannot_be_are_not_estimable():
    got = gap_at_ratio([0.8, 3.0, np.nan], selection_ratio=0.6, focal_share=0.2)

    np.testing.assert_array_equal(np.isnan(got), [False, True, True])
    assert np.isnan(expected_ratio(np.nan, selection_ratio=0.1, focal_share=0.1))
    assert expected_ratio([], selection_ratio=[], focal_share=[]).size == 0


def test_verbal_aggression_dif_equals_difr():
    """difMH(verbal, "Gender", 1) and MHstat = "logOR": item S2WantShout."""
    dif = mantel_dif(**people(SHOUT))

    assert dif.chi_square == pytest.approx(9.6032, abs=5e-5)
    assert dif.p == pytest.approx(0.0019, abs=5e-5)
    assert dif.odds_ratio == pytest.approx(2.8804, abs=5e-5)
    assert dif.delta == pytest.approx(-2.4861, abs=5e-5)
    assert -dif.delta / dif.delta_se == pytest.approx(3.1373, abs=5e-5)
    assert dif.category == "C"


def test_rabbits_have_the_odds_ratio_of_r():
    """mantelhaen.test(Rabbits): odds ratio 7, 95 % 1.026713 to 47.725133."""
    died_cured = [
        [[6, 0], [5, 0]], [[3, 3], [6, 0]], [[0, 6], [4, 2]],
        [[1, 5], [0, 6]], [[0, 2], [0, 5]],
    ]  # fmt: skip

    dif = mantel_dif(**people(died_cured))

    assert dif.odds_ratio == pytest.approx(7)
    assert dif.chi_square == pytest.approx(3.928571, abs=5e-7)
    bounds = np.exp(
        -(dif.delta + np.array([1, -1]) * ndtri(0.975) * dif.delta_se) / 2.35
    )
    np.testing.assert_allclose(bounds, [1.026713, 47.725133], rtol=1e-6)


def test_mantel_chi_square_of_arthritis_equals_sas():
    """Stokes, Davis & Koch, Categorical Data Analysis Using SAS: row means, 14.632."""
    dif = mantel_dif(**people(ARTHRITIS, lowest=1))

    assert dif.chi_square == pytest.approx(14.632, abs=5e-4)
    assert dif.category == "CC"


def test_standardised_mean_difference_of_performers_is_that_of_the_hand():
    dif = mantel_dif(**people(PERFORMERS, lowest=1))

    by_hand = (23 * (45 / 23 - 44 / 25) + 13 * (35 / 13 - 430 / 180)) / 36
    assert dif.smd == pytest.approx(by_hand, rel=1e-12)
    assert dif.category == "AA"


@pytest.mark.parametrize(
    ("item", "delta", "z", "p", "category"),
    [
        ("S2WantShout", -2.4861, 3.1373, 0.0019, "C"),
        ("S4WantShout", -2.0036, 2.2368, 0.0424, "B"),
        ("S2DoCurse", 2.6709, 2.6614, 0.0121, "C"),
        ("S2DoScold", 2.3072, 2.6876, 0.0089, "B"),
        ("S2WantCurse", -1.5567, 1.6327, 0.1647, "A"),
        ("S1WantShout", -0.8701, 1.1404, 0.3191, "A"),
    ],
)
def test_ets_categories_need_size_and_significance(item, delta, z, p, category):
    """Deltas of difR, whose own letters go by size alone: five times C, then A."""
    assert ets_category(delta, abs(delta) / z, p) == category, item


def test_ets_category_turns_at_one_and_one_and_a_half():
    delta = [0.99, 1.0, 1.49, 1.5, 1.5, 1.5, np.nan]
    delta_se = [0.1, 0.1, 0.1, 0.1, 0.31, 0.1, 0.1]
    p = [0.01, 0.01, 0.01, 0.01, 0.01, 0.05, 0.01]

    got = ets_category(delta, delta_se, p)

    assert got.tolist() == ["A", "B", "B", "C", "B", "A", ""]


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=6))
def test_two_levels_are_mantel_haenszel_of_statsmodels(cells):
    tables = np.array(cells).reshape(-1, 2, 2)
    kept = tables[(tables.sum(axis=2) > 0).all(axis=1)]

    dif = mantel_dif(**people(tables), n_slices=1, continuity=0)

    if dif.n_levels == 2 and not np.isnan(dif.odds_ratio):
        # Reference and focal, right and wrong.
        peer = StratifiedTable(np.moveaxis(kept[:, :, ::-1].astype(float), 0, 2))
        test = peer.test_null_odds(correction=False)
        assert dif.odds_ratio == pytest.approx(peer.oddsratio_pooled, rel=1e-9)
        assert dif.delta_se == pytest.approx(2.35 * peer.logodds_pooled_se, rel=1e-9)
        assert dif.chi_square == pytest.approx(test.statistic, abs=1e-9)
        assert dif.p == pytest.approx(test.pvalue, rel=1e-7)


@given(ratings)
def test_swapping_the_groups_turns_dif_round(rows):
    data = rows_of(rows)
    one = mantel_dif(**data)

    two = mantel_dif(**{**data, "is_focal": ~data["is_focal"]})

    np.testing.assert_allclose(two.delta, -one.delta, atol=1e-9)
    np.testing.assert_allclose(two.delta_se, one.delta_se)
    np.testing.assert_allclose(two.chi_square, one.chi_square, atol=1e-9)


@given(ratings)
def test_turning_the_scale_turns_dif_round(rows):
    data = rows_of(rows)
    one = mantel_dif(**data)

    two = mantel_dif(**{**data, "score": 3 - 2 * data["score"]})

    np.testing.assert_allclose(two.delta, -one.delta, atol=1e-9)
    np.testing.assert_allclose(two.delta_se, one.delta_se)
    np.testing.assert_allclose(two.smd, -2 * one.smd, atol=1e-9)
    np.testing.assert_allclose(two.smd_ratio, -one.smd_ratio, atol=1e-9)
    np.testing.assert_allclose(two.p, one.p, atol=1e-9)


@given(st.lists(ratings, min_size=1, max_size=4))
@settings(max_examples=50)
def test_slices_do_not_touch_each_other(slices):
    parts = [rows_of(rows) for rows in slices]
    code = np.repeat(np.arange(len(parts)), [part["score"].size for part in parts])
    data = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("score", "matched", "is_focal")
    }
    order = np.random.default_rng(1).permutation(code.size)
    shuffled = {name: values[order] for name, values in data.items()}

    together = [
        dif(**shuffled, slice_code=code[order]) for dif in (mantel_dif, ordinal_dif)
    ]

    for place, part in enumerate(parts):
        for whole, alone in zip(
            together, (mantel_dif(**part), ordinal_dif(**part)), strict=True
        ):
            for name, value in vars(whole).items():
                if name == "category":
                    assert value[place] == alone.category[0]
                else:
                    np.testing.assert_allclose(
                        value[place], getattr(alone, name)[0], rtol=1e-5, atol=1e-7
                    )


@pytest.mark.parametrize("dif", [mantel_dif, ordinal_dif])
def test_more_of_the_same_people_keep_dif_and_shrink_its_error(dif):
    once = dif(**people(PERFORMERS))
    four = dif(**people(4 * np.array(PERFORMERS)))

    assert four.delta == pytest.approx(once.delta, rel=1e-6)
    assert four.delta_se == pytest.approx(once.delta_se / 2, rel=0.03)


def test_people_without_anybody_to_match_do_not_count():
    alone = [[[0, 0, 0], [3, 0, 9]], [[5, 1, 1], [0, 0, 0]]]

    with_alone = mantel_dif(**people(PERFORMERS + alone))

    without = mantel_dif(**people(PERFORMERS))
    for name in ("n_focal", "n_reference", "n_strata", "p", "delta", "delta_se", "smd"):
        assert getattr(with_alone, name) == pytest.approx(getattr(without, name))


def test_missing_ratings_and_totals_are_left_out():
    data = people(PERFORMERS)
    more = {
        "score": np.append(data["score"], [np.nan, 2]),
        "matched": np.append(data["matched"], [1, np.nan]),
        "is_focal": np.append(data["is_focal"], [True, True]),
        "slice_code": np.append(data["slice_code"], [0, 0]),
    }

    for dif in (mantel_dif, ordinal_dif):
        with_missing, without = dif(**more), dif(**data)

        assert with_missing.n_focal == without.n_focal
        np.testing.assert_array_equal(with_missing.delta, without.delta)


def test_mental_impairment_equals_agresti():
    """Agresti (2002), 7.2.4: events -0.319, status 1.111 (0.611) on P(Y <= j)."""
    dif = ordinal_dif(
        IMPAIRMENT, EVENTS, is_focal=STATUS == 1, slice_code=np.zeros(40, int)
    )

    assert dif.effect == pytest.approx(-1.1112, abs=5e-5)
    assert dif.se == pytest.approx(0.6109, abs=5e-5)
    assert dif.delta == pytest.approx(-2.35 * 1.1112, abs=2e-4)
    assert (dif.n_focal, dif.n_reference) == (22, 18)


def test_ordinal_logit_equals_statsmodels():
    rng = np.random.default_rng(20261124)
    ratings, is_focal, slice_code = panel(
        rng, n_slices=3, n_side=60, impact=-0.5, dif=0.8
    )
    total = ratings.sum(axis=1)

    dif = ordinal_dif(ratings[:, 0], total, is_focal=is_focal, slice_code=slice_code)

    for code in range(3):
        own = slice_code == code
        score, covariates = ratings[own, 0], np.column_stack([total, is_focal])[own]
        full, null = (
            OrderedModel(score, x.astype(float), distr="logit").fit(
                method="bfgs", disp=False, gtol=1e-8, maxiter=500
            )
            for x in (covariates, covariates[:, :1])
        )
        assert dif.effect[code] == pytest.approx(full.params[1], rel=1e-4)
        assert dif.se[code] == pytest.approx(full.bse[1], rel=1e-3)
        assert dif.wald_p[code] == pytest.approx(full.pvalues[1], rel=1e-2)
        assert dif.likelihood_ratio[code] == pytest.approx(
            2 * (full.llf - null.llf), abs=1e-5
        )


def test_ordinal_logit_of_two_levels_is_logistic_regression():
    data = people(SHOUT)
    design = np.column_stack(
        [np.ones(data["score"].size), data["matched"], data["is_focal"]]
    )

    dif = ordinal_dif(**data)

    peer = Logit(data["score"], design).fit(disp=False, tol=1e-12)
    assert dif.effect == pytest.approx(peer.params[2], rel=1e-7)
    assert dif.se == pytest.approx(peer.bse[2], rel=1e-7)
    half = ndtri(0.975) * peer.bse[2]
    assert dif.low == pytest.approx(peer.params[2] - half, rel=1e-6)


@given(ratings)
def test_ordinal_logit_turns_round_with_groups_and_scale(rows):
    data = rows_of(rows)
    one = ordinal_dif(**data)

    groups = ordinal_dif(**{**data, "is_focal": ~data["is_focal"]})
    scale = ordinal_dif(**{**data, "score": -data["score"]})
    units = ordinal_dif(**{**data, "matched": 100 - 0.3 * data["matched"]})

    for other, sign in ((groups, -1), (scale, -1), (units, 1)):
        np.testing.assert_allclose(
            other.effect, sign * one.effect, atol=2e-5, rtol=1e-5
        )
        np.testing.assert_allclose(
            other.likelihood_ratio, one.likelihood_ratio, atol=1e-6
        )


@pytest.mark.parametrize("impact", [0.0, -0.5])
def test_planted_dif_is_found_and_its_error_is_as_told(impact):
    rng = np.random.default_rng(7)
    ratings, is_focal, slice_code = panel(
        rng, n_slices=150, n_side=100, impact=impact, dif=-0.8, n_ratings=30
    )
    total = ratings.sum(axis=1)
    thick = total // 6

    by_model = ordinal_dif(
        ratings[:, 0], total, is_focal=is_focal, slice_code=slice_code
    )
    by_total = mantel_dif(
        ratings[:, 0], thick, is_focal=is_focal, slice_code=slice_code
    )

    for dif in (by_model, by_total):
        assert dif.delta.mean() == pytest.approx(-0.8 * 2.35, rel=0.1)
        assert dif.delta_se.mean() == pytest.approx(dif.delta.std(), rel=0.2)


def test_a_total_of_few_other_ratings_shows_dif_that_is_not_there():
    """Why the total should hold the rating studied: nothing but ability differs."""
    rng = np.random.default_rng(7)
    ratings, is_focal, slice_code = panel(rng, n_slices=200, n_side=150, impact=-0.5)
    rest = {"is_focal": is_focal, "slice_code": slice_code}

    others = mantel_dif(ratings[:, 0], ratings[:, 1:].sum(axis=1), **rest)
    everything = mantel_dif(ratings[:, 0], ratings.sum(axis=1), **rest)

    assert others.delta.mean() < -0.3
    assert abs(everything.delta.mean()) < 0.1
    assert np.mean(others.p < 0.05) > 0.12
    assert np.mean(everything.p < 0.05) < 0.09


@pytest.mark.parametrize(
    ("score", "matched", "is_focal"),
    [
        ([], [], []),
        ([1], [1], [0]),
        ([3, 3, 3, 3], [1, 2, 1, 2], [0, 0, 1, 1]),
        ([1, 2, 3, 4], [1, 1, 1, 1], [1, 1, 1, 1]),
        ([1, 2, 3, 4], [1, 1, 1, 1], [0, 0, 1, 1]),
        ([1, 2, 1, 2], [1, 1, 2, 2], [0, 0, 1, 1]),
        ([1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 3], [0, 0, 0, 1, 1, 1]),
        ([np.nan, np.nan], [1, 2], [0, 1]),
        ([1, 1, 1, 2], [0, 1, 1, 0], [1, 0, 1, 1]),
        ([1, 2, 1, 2, 3, 3, 3, 3], [1, 2, 1, 2, 1, 2, 1, 2], [0] * 4 + [1] * 4),
    ],
)
def test_degenerate_slices_are_not_estimable(score, matched, is_focal):
    data = {
        "is_focal": is_focal,
        "slice_code": np.zeros(len(score), int),
        "n_slices": 1,
    }

    by_total = mantel_dif(score, matched, **data)
    by_model = ordinal_dif(score, matched, **data)

    assert np.isnan(by_total.delta).all()
    assert np.isnan([by_model.effect, by_model.se, by_model.lr_p]).all()


def test_equal_fractions_have_no_spread():
    """The mean of three times 3.3 is not 3.3 in floating point."""
    equal = moments([3.3] * 3 + [1.1] * 3, group=[0, 0, 0, 1, 1, 1])
    gap = gap_of([3.3] * 3, [1.1] * 3)
    dif = mantel_dif([3.3] * 3 + [1.1] * 3, [1, 1, 1, 2, 2, 2],
        is_focal=[0, 1, 1] * 2, slice_code=[0] * 6)  # fmt: skip

    np.testing.assert_array_equal(equal.sd, [0, 0])
    assert np.isnan([gap.d, gap.welch_t, dif.p]).all()
    assert dif.smd == 0


def test_equal_totals_are_matched_without_a_slope():
    data = {"is_focal": [0] * 6 + [1] * 6, "slice_code": [0] * 12}
    score = [1, 2, 3, 1, 2, 2, 2, 3, 3, 1, 2, 3]

    by_model = ordinal_dif(score, [4.1] * 12, **data)

    peer = OrderedModel(
        np.array(score), np.array(data["is_focal"], float)[:, None], distr="logit"
    ).fit(method="bfgs", disp=False, gtol=1e-8)
    assert by_model.effect == pytest.approx(peer.params[0], rel=1e-4)


def test_slices_on_different_scales_do_not_share_levels():
    five, two = people(PERFORMERS, lowest=1), people(SHOUT)
    data = {
        name: np.concatenate([five[name], two[name]])
        for name in ("score", "matched", "is_focal")
    }
    code = np.repeat([0, 2], [five["score"].size, two["score"].size])

    dif = mantel_dif(**data, slice_code=code, n_slices=4)

    np.testing.assert_array_equal(dif.n_levels, [3, 0, 2, 0])
    assert dif.category.tolist() == ["AA", "", "C", ""]
    assert dif.delta[2] == pytest.approx(-2.4861, abs=5e-5)


def test_impossible_arguments_are_named():
    with pytest.raises(ValueError, match="group must not be negative, got -1"):
        moments([1.0], group=[-1])
    with pytest.raises(ValueError, match="group must be below 1, got 1"):
        moments([1.0], group=[1], n_groups=1)
    with pytest.raises(ValueError, match=r"reference_n must be a count, got 2\.5"):
        score_gap(3, 1, 1, reference_n=2.5, reference_mean=1, reference_sd=1)
    with pytest.raises(ValueError, match="sd must not be negative, got -1"):
        score_gap(3, 1, -1, reference_n=2, reference_mean=1, reference_sd=1)
    with pytest.raises(ValueError, match="selection_ratio must lie in"):
        expected_ratio(-0.4, selection_ratio=1.0, focal_share=0.2)
    with pytest.raises(ValueError, match="focal_share must lie in"):
        gap_at_ratio(0.8, selection_ratio=0.1, focal_share=1.2)
    with pytest.raises(ValueError, match="ratio must be above 0, got 0"):
        gap_at_ratio(0.0, selection_ratio=0.1, focal_share=0.2)
    with pytest.raises(ValueError, match="matched must have shape"):
        mantel_dif([1, 2], [1], is_focal=[0, 1], slice_code=[0, 0])
    with pytest.raises(ValueError, match="slice_code must have one code per row"):
        ordinal_dif([1, 2], [1, 2], is_focal=[0, 1], slice_code=[0])
