"""Agreement of raters on the same candidates, vectorised over groups of them.

A unit is one candidate within one group; the ratings of a unit come from different
raters. Ratings sorted by group and unit are the fastest to read; any order gives the
same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri, stdtrit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Metric = Literal["nominal", "ordinal", "interval", "ratio"]
Scheme = Literal["identity", "linear", "quadratic", "ordinal"]

# Columns of `SixForms`: one-way, two-way absolute and two-way consistent, of one
# rating and of the mean of k; Shrout and Fleiss call them 1, 2, 3, 1k, 2k and 3k.
FORMS = ("icc_1", "icc_a1", "icc_c1", "icc_1k", "icc_ak", "icc_ck")
# A sum of squares this small beside another is its rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class CandidateSums:
    """Ratings of every unit, summed, from which one-way statistics follow.

    Attributes
    ----------
    group : ndarray of int, shape (n_units,)
        Group of each unit, ascending.
    size : ndarray, shape (n_units,)
        Ratings of the unit.
    total, squares : ndarray, shape (n_units,)
        Sum of the ratings and of their squares, after the mean of the group was
        taken off.
    n_groups : int
        Number of groups.
    """

    group: Integers
    size: Floats
    total: Floats
    squares: Floats
    n_groups: int


@dataclass(frozen=True)
class OneWay:
    """One-way intraclass correlation of each group.

    Attributes
    ----------
    n, n_multi, n_ratings : ndarray of int, shape (n_groups,)
        Candidates, those with two ratings or more, and ratings.
    k_effective : ndarray, shape (n_groups,)
        Searle's k0, the effective number of ratings per candidate.
    estimate, low, high : ndarray, shape (n_groups,)
        Reliability of a single rating, ICC(1), and its interval; may be negative; NaN
        where there are fewer than two candidates, no repeated rating or no spread.
    mean_estimate, mean_low, mean_high : ndarray, shape (n_groups,)
        Reliability of a candidate's mean rating, ICC(1,k), which Bliese calls ICC(2).
    ms_between, ms_within : ndarray, shape (n_groups,)
        Mean squares between and within candidates.
    """

    n: Integers
    n_multi: Integers
    n_ratings: Integers
    k_effective: Floats
    estimate: Floats
    low: Floats
    high: Floats
    mean_estimate: Floats
    mean_low: Floats
    mean_high: Floats
    ms_between: Floats
    ms_within: Floats


@dataclass(frozen=True)
class Coincidences:
    """Ratings by level of every candidate, from which pairs of levels follow.

    Attributes
    ----------
    group : ndarray of int, shape (n_units,)
        Group of each unit (a candidate in a group), ascending.
    counts : ndarray, shape (n_units, n_levels)
        Ratings by level.
    n_groups : int
        Number of groups.
    """

    group: Integers
    counts: Floats
    n_groups: int


@dataclass(frozen=True)
class Agreement:
    """Agreement within each group; NaN where no candidate has two ratings.

    Attributes
    ----------
    alpha_nominal, alpha_ordinal, alpha_interval : ndarray
        Krippendorff's alpha; NaN where all pairable ratings are equal.
    exact, within_one : ndarray
        Share of pairs that agree, or differ by one level at most.
    mean_difference : ndarray
        Mean absolute difference of a pair in levels.
    """

    alpha_nominal: Floats
    alpha_ordinal: Floats
    alpha_interval: Floats
    exact: Floats
    within_one: Floats
    mean_difference: Floats


@dataclass(frozen=True)
class Coefficient:
    """An agreement coefficient of each group, shape (n_groups,).

    Attributes
    ----------
    n : ndarray of int
        Candidates it rests on.
    observed, chance : ndarray
        Weighted agreement seen, and expected of raters who guess.
    estimate : ndarray
        (observed - chance) / (1 - chance).
    se : ndarray
        Standard error for the sampling of candidates, the raters being given; NaN with
        fewer than two. `interval` makes limits of it.
    """

    n: Integers
    observed: Floats
    chance: Floats
    estimate: Floats
    se: Floats


@dataclass(frozen=True)
class ChanceCorrected:
    """Coefficients that need no names of raters and differ in the chance they assume.

    Attributes
    ----------
    percent : Coefficient
        Agreement as seen; its chance is 0.
    gwet : Coefficient
        AC1 with identity weights, AC2 with others.
    fleiss : Coefficient
        Fleiss' kappa, generalised to weights and varying numbers of ratings.
    brennan_prediger : Coefficient
        All levels of the rubric equally likely.
    alpha : Coefficient
        Krippendorff's alpha with these weights. Ordinal weights are not his ordinal
        differences: `alpha` has those.
    """

    percent: Coefficient
    gwet: Coefficient
    fleiss: Coefficient
    brennan_prediger: Coefficient
    alpha: Coefficient


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of each table, with its large-sample standard errors.

    Attributes
    ----------
    n, observed, chance, estimate : ndarray
        Candidates, weighted agreement seen and expected, and kappa; NaN where the
        table is empty or both raters used one and the same level.
    se : ndarray
        For an interval, see `interval`.
    se_null : ndarray
        For the test of kappa = 0.
    """

    n: Floats
    observed: Floats
    chance: Floats
    estimate: Floats
    se: Floats
    se_null: Floats


@dataclass(frozen=True)
class Consensus:
    """Agreement of the raters of each unit, shape (n_units,).

    Attributes
    ----------
    n_ratings, n_items : ndarray of int
        Ratings, and items with two ratings or more.
    r_wg : ndarray
        r_wg of one item, below 0 where raters differ more than by chance; r_wg(j) of
        several, 0 there. NaN where no item has two ratings.
    ad_mean, ad_median : ndarray
        Average deviation from the mean and from the median in rubric points, averaged
        over items.
    """

    n_ratings: Integers
    n_items: Integers
    r_wg: Floats
    ad_mean: Floats
    ad_median: Floats


@dataclass(frozen=True)
class SixForms:
    """The six intraclass correlations of tables without gaps.

    Attributes
    ----------
    estimate, low, high : ndarray, shape (n_blocks, 6)
        Coefficients and intervals in the order of `FORMS`; NaN where a rating is
        missing or all are equal.
    f, df_between, df_error : ndarray, shape (n_blocks, 6)
        F ratio of candidates that tests the coefficient against 0, and its degrees of
        freedom.
    ms_between, ms_raters, ms_error, ms_within : ndarray, shape (n_blocks,)
        Mean squares of candidates, raters, their interaction, and of ratings within
        candidates.
    """

    estimate: Floats
    low: Floats
    high: Floats
    f: Floats
    df_between: Floats
    df_error: Floats
    ms_between: Floats
    ms_raters: Floats
    ms_error: Floats
    ms_within: Floats


@dataclass(frozen=True)
class CompleteBlock:
    """The six intraclass correlations of a table without gaps."""

    icc_1: float
    icc_a1: float
    icc_c1: float
    icc_1k: float
    icc_ak: float
    icc_ck: float


@dataclass(frozen=True)
class _Weighing:
    """Weights 1 - difference / scale; `spread` sums the differences of a rubric."""

    difference: Floats
    scale: Floats
    spread: Floats


@dataclass(frozen=True)
class _Weighed:
    """Observed agreement, and the shares of levels that chance agreement rests on.

    By unit: `size` ratings, `several` of them or one, `shares` of the levels (levels
    along the first axis) and the weighted agreement of its pairs, `agreeing`. By group:
    `n` units, `n_several` with pairs, `observed` agreement and `prevalence` of levels.
    """

    group: Integers
    size: Floats
    several: Booleans
    shares: Floats
    agreeing: Floats
    n: Floats
    n_several: Floats
    observed: Floats
    prevalence: Floats
    weighing: _Weighing
    n_levels: Floats


def candidate_sums(
    value: ArrayLike, unit: ArrayLike, group: ArrayLike, *, n_groups: int
) -> CandidateSums:
    """Return the sums of each unit's ratings.

    Parameters
    ----------
    value : array_like, shape (n_ratings,)
        Ratings without missing values, all of a group on one scale.
    unit : array_like of int, shape (n_ratings,)
        Candidate of each rating, from 0.
    group : array_like of int, shape (n_ratings,)
        Group of each rating, 0 to `n_groups` - 1.

    Raises
    ------
    ValueError
        If lengths differ or a code lies outside its range.
    """
    unit_group, codes = _units(unit, group, n_groups)
    x, groups = np.asarray(value, np.float64), np.asarray(group, np.int64)
    _same_length(x, groups)
    size = np.bincount(codes, minlength=unit_group.size).astype(np.float64)
    # Off a rating of the group before off its mean: equal ratings become exactly 0.
    one_rating = np.zeros(n_groups)
    one_rating[groups] = x
    centred = x - one_rating[groups]
    total = _sum(codes, centred, size.size)
    mean = _divide(_sum(unit_group, total, n_groups), _sum(unit_group, size, n_groups))
    centred -= mean[groups]
    return CandidateSums(
        group=unit_group,
        size=size,
        total=total - size * mean[unit_group],
        squares=_sum(codes, np.square(centred, out=centred), size.size),
        n_groups=n_groups,
    )


def one_way(
    value: ArrayLike,
    unit: ArrayLike,
    group: ArrayLike,
    *,
    n_groups: int,
    level: float = 0.95,
) -> OneWay:
    """Return ICC(1) of each group for panels of any size.

    Parameters
    ----------
    value : array_like, shape (n_ratings,)
        Ratings without missing values, all of a group on one scale.
    unit : array_like of int, shape (n_ratings,)
        Candidate of each rating.
    group : array_like of int, shape (n_ratings,)
        Group of each rating, 0 to `n_groups` - 1.

    Returns
    -------
    OneWay
        (MSB - MSW) / (MSB + (k0 - 1) MSW) with k0 = (N - sum k^2 / N) / (n - 1); the
        interval inverts the F ratio with k0 in place of k, exact for equal panels.

    Raises
    ------
    ValueError
        If lengths differ or a code lies outside its range.

    References
    ----------
    Shrout & Fleiss (1979), Psychol. Bull. 86(2), 420-428; Searle (1971), Linear
    Models, 473-474, for k0; Bliese (2000), in Klein & Kozlowski (eds), Multilevel
    Theory, Research, and Methods in Organizations, 349-381, for ICC(2).
    """
    sums = candidate_sums(value, unit, group, n_groups=n_groups)
    return one_way_of(sums, level=level)


def one_way_of(sums: CandidateSums, *, level: float = 0.95) -> OneWay:
    """Return ICC(1) of each group from sums that are at hand.

    Parameters
    ----------
    sums : CandidateSums
        From `candidate_sums`; `alpha_interval` reads the same ones.
    level : float
        Coverage of the intervals.

    Returns
    -------
    OneWay
        As from `one_way`.
    """

    def summed(values: ArrayLike) -> Floats:
        return _sum(sums.group, values, sums.n_groups)

    size, of_means = sums.size, sums.total**2 / sums.size
    n = np.bincount(sums.group, minlength=sums.n_groups).astype(np.float64)
    n_ratings = summed(size)
    # Totals are about the mean of the group, so nothing is left to take off.
    between = summed(of_means)
    within = summed(sums.squares - of_means)
    within = np.where(within < ROUNDING * between, 0.0, within)
    ms_between = _divide(between, n - 1)
    ms_within = _divide(within, n_ratings - n)
    k0 = _divide(n_ratings - _divide(summed(size**2), n_ratings), n - 1)
    single, mean = [], []
    for quantile in (None, 0.5 + level / 2, 0.5 - level / 2):
        error = ms_within
        if quantile is not None:
            error = error * _f_quantiles(quantile, n - 1, n_ratings - n)
        single.append(_divide(ms_between - error, ms_between + (k0 - 1) * error))
        mean.append(_divide(ms_between - error, ms_between))
    return OneWay(
        n=n.astype(np.int64),
        n_multi=summed(size > 1).astype(np.int64),
        n_ratings=n_ratings.astype(np.int64),
        k_effective=k0,
        estimate=single[0],
        low=single[1],
        high=single[2],
        mean_estimate=mean[0],
        mean_low=mean[1],
        mean_high=mean[2],
        ms_between=ms_between,
        ms_within=ms_within,
    )


def alpha_interval(sums: CandidateSums) -> Floats:
    """Return Krippendorff's interval alpha of each group, shape (n_groups,).

    Candidates with one rating drop out; NaN where none is left or all ratings are
    equal. Needs no levels, so ratings may be any numbers.

    References
    ----------
    Krippendorff (2019), Content Analysis, 4th ed., 12.3.
    """

    def summed(values: Floats) -> Floats:
        return _sum(sums.group, values, sums.n_groups)

    size, several = sums.size, (sums.size > 1).astype(np.float64)
    observed = (size * sums.squares - sums.total**2) / np.maximum(size - 1, 1)
    n = summed(size * several)
    squares = n * summed(sums.squares * several)
    by_chance = squares - summed(sums.total * several) ** 2
    by_chance = np.where(by_chance > ROUNDING * squares, by_chance, 0.0)
    return 1 - (n - 1) * _divide(summed(observed * several), by_chance)


def coincidences(
    level: ArrayLike,
    unit: ArrayLike,
    group: ArrayLike,
    *,
    n_levels: int,
    n_groups: int,
) -> Coincidences:
    """Return ratings by level and candidate, from which agreement follows.

    Parameters
    ----------
    level : array_like of int, shape (n_ratings,)
        Level of each rating, from 0; one rating per rater and unit.
    unit, group : array_like of int, shape (n_ratings,)
        Candidate and group of each rating.
    n_levels : int
        Levels of the longest scale.

    Raises
    ------
    ValueError
        If a level lies outside 0 to `n_levels` - 1, a code outside its range, or
        lengths differ.
    """
    levels = _codes("levels", level, n_levels)
    unit_group, codes = _units(unit, group, n_groups)
    _same_length(levels, codes)
    # Levels along the slow axis in memory: what follows works level by level.
    cells = np.bincount(
        levels * unit_group.size + codes, minlength=unit_group.size * n_levels
    ).reshape(n_levels, unit_group.size)
    return Coincidences(unit_group, cells.astype(np.float64).T, n_groups)


def agreement(pairs: Coincidences) -> Agreement:
    """Return the agreement of each group, shape (n_groups,).

    References
    ----------
    Krippendorff (2019), Content Analysis, 4th ed., 12.3; the ordinal difference is the
    squared number of ranks between two levels.
    """
    counts = pairs.counts.T
    n_levels = len(counts)
    size = counts.sum(axis=0)
    weight = np.where(size > 1, 1 / np.maximum(size - 1, 1), 0.0)
    total = np.empty((pairs.n_groups, n_levels, n_levels))
    for one in range(n_levels):
        weighted = counts[one] * weight
        for other in range(one, n_levels):
            # A rating makes no pair with itself.
            partners = counts[other] - 1 if one == other else counts[other]
            total[:, one, other] = total[:, other, one] = _sum(
                pairs.group, weighted * partners, pairs.n_groups
            )
    return _agreement(total)


def alpha(
    pairs: Coincidences, *, metric: Metric, values: ArrayLike | None = None
) -> Floats:
    """Return Krippendorff's alpha of each group by one metric, shape (n_groups,).

    Candidates with one rating drop out; NaN where none is left or all ratings are
    equal.

    Parameters
    ----------
    metric : {"nominal", "ordinal", "interval", "ratio"}
        How far two levels are apart: different or not; squared ranks between them;
        squared difference of their values; the same over their squared sum.
    values : array_like, shape (n_levels,), optional
        What each level stands for, for the interval and ratio metrics. Whole numbers
        from 0 when left out; the ratio metric, which depends on where 0 lies, needs
        them.

    Raises
    ------
    ValueError
        If the metric is unknown, or the values of a ratio scale are left out or below
        0.

    References
    ----------
    Krippendorff (2019), Content Analysis, 4th ed., 12.3.
    """
    size = pairs.counts.sum(axis=1)
    pairable = pairs.counts.T * (size > 1)
    marginal = _by_level(pairs, pairable)
    if metric == "ordinal":
        apart, expected = _ordinal(pairs.group, pairable, marginal)
    else:
        difference = _differences(metric, len(marginal), values)
        apart = (pairable * (difference @ pairable)).sum(axis=0)
        expected = (marginal * (difference @ marginal)).sum(axis=0)
    observed = _sum(pairs.group, apart / np.maximum(size - 1, 1), pairs.n_groups)
    return 1 - (marginal.sum(axis=0) - 1) * _divide(observed, expected)


def bootstrap(
    pairs: Coincidences,
    *,
    chosen: ArrayLike,
    replicates: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[Agreement, Agreement]:
    """Return percentile bounds of agreement, drawing candidates, not ratings.

    The same ratings give the same bounds, whatever the order of their candidates.

    Parameters
    ----------
    chosen : array_like of bool, shape (n_groups,)
        Groups to draw for; the others get NaN.

    Returns
    -------
    low, high : Agreement
        Bounds, shape (n_groups,).
    """
    low, high = (np.full((6, pairs.n_groups), np.nan) for _ in range(2))
    starts = np.searchsorted(pairs.group, np.arange(pairs.n_groups + 1))
    shares = [0.5 - level / 2, 0.5 + level / 2]
    for place in np.flatnonzero(np.asarray(chosen)):
        own = pairs.counts[starts[place] : starts[place + 1]]
        own = own[own.sum(axis=1) > 1]
        if len(own) < 2:
            continue
        drawn = _draws(own, replicates, rng)
        values = np.stack(_columns(_agreement(drawn)))
        # Replicates without any spread have no alpha.
        usable = np.isfinite(values).any(axis=1)
        low[usable, place], high[usable, place] = np.nanquantile(
            values[usable], shares, axis=1
        )
    return Agreement(*low), Agreement(*high)


def gwet_ac2(pairs: Coincidences, n_levels: ArrayLike) -> Floats:
    """Return Gwet's AC2 with quadratic weights, shape (n_groups,).

    Chance agreement comes from all candidates, observed agreement from those with two
    ratings or more. NaN where there are none, or fewer than two levels.

    Parameters
    ----------
    n_levels : array_like of int, shape (n_groups,)
        Levels of the rubric, used or not: the value depends on them.

    References
    ----------
    Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., 5.4-5.5.
    """
    weighed = _weighed(pairs, n_levels, "quadratic")
    chance = _gwet_factor(weighed) * _mixture(weighed.prevalence)
    return _divide(weighed.observed - chance, 1 - chance)


def gwet_ac2_limits(
    pairs: Coincidences, n_levels: ArrayLike, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return limits of `gwet_ac2`, with the error of candidates with two ratings.

    Gwet's own error counts how many candidates have two ratings as chance: where three
    in four are rated once, his limits hold the truth in 99.7 % of panels.

    Parameters
    ----------
    n_levels : array_like of int, shape (n_groups,)
        Levels of the rubric, used or not.
    level : float
        Coverage of the interval.

    Returns
    -------
    low, high : ndarray, shape (n_groups,)
        On Fisher's scale, as from `interval`; NaN below two candidates with two.
    """
    several = pairs.counts.sum(axis=1) > 1
    paired = replace(pairs, group=pairs.group[several], counts=pairs.counts[several])
    error = chance_corrected(paired, n_levels, weights="quadratic").gwet
    return interval(replace(error, estimate=gwet_ac2(pairs, n_levels)), level=level)


def chance_corrected(
    pairs: Coincidences,
    n_levels: ArrayLike,
    *,
    weights: Scheme | ArrayLike = "identity",
) -> ChanceCorrected:
    """Return Gwet's, Fleiss', Brennan and Prediger's coefficients and alpha, with SEs.

    Chance agreement comes from all candidates, observed agreement from those with two
    ratings or more; alpha takes both from the latter.

    Parameters
    ----------
    n_levels : array_like of int, scalar or shape (n_groups,)
        Levels of the rubric, used or not: weights and chance depend on them.
    weights : {"identity", "linear", "quadratic", "ordinal"} or array_like
        Agreement of two levels, 1 on the diagonal. A symmetric matrix of one's own,
        shape (n_levels, n_levels), serves groups that all have these levels.

    Returns
    -------
    ChanceCorrected
        NaN where no candidate has two ratings, or where chance agreement is 1.

    Raises
    ------
    ValueError
        If a rating lies above the levels of its group, the weights are unknown, or a
        matrix is not square, symmetric and 1 on its diagonal.

    References
    ----------
    Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 5 and 6.
    """
    weighed = _weighed(pairs, n_levels, weights)
    for place, used in enumerate(weighed.prevalence):
        above = (used > 0) & (place >= weighed.n_levels)
        if above.any():
            group = int(np.flatnonzero(above)[0])
            raise ValueError(
                f"group {group} has {weighed.n_levels[group]:g} levels,"
                f" got a rating at level {place}"
            )
    weighing, prevalence = weighed.weighing, weighed.prevalence
    factor = _gwet_factor(weighed)
    gaps = _divide(weighing.difference @ prevalence, weighing.scale)
    uniform = _divide(
        weighed.n_levels**2 - _divide(weighing.spread, weighing.scale),
        weighed.n_levels**2,
    )
    zero = np.zeros(pairs.n_groups)
    return ChanceCorrected(
        percent=_coefficient(weighed, zero),
        gwet=_coefficient(
            weighed, factor * _mixture(prevalence), factor * (1 - prevalence)
        ),
        fleiss=_coefficient(weighed, 1 - (prevalence * gaps).sum(axis=0), 1 - gaps),
        brennan_prediger=_coefficient(weighed, uniform),
        alpha=_gwet_alpha(weighed, pairs),
    )


def conger_kappa(
    level: ArrayLike,
    unit: ArrayLike,
    rater: ArrayLike,
    group: ArrayLike,
    *,
    n_levels: int,
    n_groups: int,
    weights: Scheme | ArrayLike = "identity",
) -> Coefficient:
    """Return Conger's kappa of each group: each rater guesses by their own shares.

    With two raters and no gaps it is Cohen's kappa.

    Parameters
    ----------
    level : array_like of int, shape (n_ratings,)
        Level of each rating, 0 to `n_levels` - 1; one rating per rater and unit.
    unit, rater, group : array_like of int, shape (n_ratings,)
        Candidate, rater and group of each rating, from 0.
    n_levels : int
        Levels of the rubric, the same for all groups.
    weights
        As for `chance_corrected`.

    Returns
    -------
    Coefficient
        NaN where no candidate has two ratings or there is one rater.

    Raises
    ------
    ValueError
        If lengths differ, a code lies outside its range, or weights are not as asked.

    References
    ----------
    Conger (1980), Psychol. Bull. 88(2), 322-328; Gwet (2014), Handbook of Inter-Rater
    Reliability, 4th ed., ch. 5 and 6.
    """
    pairs = coincidences(level, unit, group, n_levels=n_levels, n_groups=n_groups)
    weighed = _weighed(pairs, n_levels, weights)
    levels, units = _codes("levels", level, n_levels), _units(unit, group, n_groups)[1]
    seat_group, seats = _units(rater, group, n_groups)
    n_seats = seat_group.size
    counts = np.bincount(levels * n_seats + seats, minlength=n_levels * n_seats)
    counts = counts.reshape(n_levels, n_seats)
    rated = counts.sum(axis=0)
    shares = counts / rated
    everyone = np.stack([_sum(seat_group, own, n_groups) for own in shares])
    # How far each level of a rater agrees with the shares of all the others.
    agreed = _agreed(weights, n_levels) @ (everyone[:, seat_group] - shares)
    usual = (agreed * shares).sum(axis=0)
    total = _sum(seat_group, usual, n_groups)
    n_raters = np.bincount(seat_group, minlength=n_groups)
    n_pairs = n_raters * (n_raters - 1)
    stretch = weighed.n[seat_group] / rated
    moved = stretch[seats] * (agreed[levels, seats] - usual[seats])
    by_unit = _sum(units, moved, pairs.group.size) + total[pairs.group]
    return _linearised(
        weighed, _divide(total, n_pairs), _divide(by_unit, n_pairs[pairs.group])
    )


def fleiss_null_se(pairs: Coincidences) -> Floats:
    """Return the standard error of Fleiss' kappa under no agreement, by group.

    For the test of kappa = 0 with as many ratings of every candidate; NaN where their
    numbers differ or only one level was used.

    References
    ----------
    Fleiss, Nee & Landis (1979), Psychol. Bull. 86(5), 974-977.
    """
    counts = pairs.counts.T
    size = counts.sum(axis=0)
    n = np.bincount(pairs.group, minlength=pairs.n_groups).astype(np.float64)
    m = _divide(_sum(pairs.group, size, pairs.n_groups), n)
    uneven = _sum(pairs.group, size != m[pairs.group], pairs.n_groups) > 0
    p = _divide(_by_level(pairs, counts), n * m)
    mixture = _mixture(p)
    skew = (p * (1 - p) * (1 - 2 * p)).sum(axis=0)
    variance = _divide(
        2 * (mixture**2 - skew), mixture**2 * np.where(uneven, 0.0, n * m * (m - 1))
    )
    return np.sqrt(np.maximum(variance, 0))


def pair_tables(
    first: ArrayLike,
    second: ArrayLike,
    group: ArrayLike,
    *,
    n_levels: int,
    n_groups: int,
) -> Integers:
    """Return the tables of two raters' levels, shape (n_groups, n_levels, n_levels).

    Parameters
    ----------
    first, second : array_like of int, shape (n_candidates,)
        Level from 0 that each of the two gave; the first makes the rows.
    group : array_like of int, shape (n_candidates,)
        Code from 0 of the table each candidate belongs to.

    Raises
    ------
    ValueError
        If lengths differ or a code lies outside its range.
    """
    rows, columns = (_codes("levels", part, n_levels) for part in (first, second))
    groups = _codes("groups", group, n_groups)
    _same_length(rows, columns, groups)
    cells = (groups * n_levels + rows) * n_levels + columns
    tables = np.bincount(cells, minlength=n_groups * n_levels**2)
    return tables.reshape(n_groups, n_levels, n_levels)


def cohen_kappa(
    tables: ArrayLike, *, weights: Scheme | ArrayLike = "identity"
) -> Kappa:
    """Return Cohen's kappa, plain or weighted, of each table of two raters.

    The same as statsmodels' `cohens_kappa`, which takes one table at a time.

    Parameters
    ----------
    tables : array_like, shape (..., n_levels, n_levels)
        Candidates by the level of the one and of the other rater; no gaps.
    weights : {"identity", "linear", "quadratic", "ordinal"} or array_like
        Agreement of two levels, 1 on the diagonal; a matrix of one's own has shape
        (n_levels, n_levels), rows for the first rater.

    Returns
    -------
    Kappa
        Arrays of the shape of `tables` without the last two axes.

    Raises
    ------
    ValueError
        If a table is not square or a count is negative, or weights are not as asked.

    References
    ----------
    Cohen (1968), Psychol. Bull. 70(4), 213-220; Fleiss, Cohen & Everitt (1969),
    Psychol. Bull. 72(5), 323-327, for the errors.
    """
    counts = np.asarray(tables, dtype=np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"tables must be square, got shape {counts.shape}")
    if (counts < 0).any():
        raise ValueError(f"counts must not be negative, got {np.nanmin(counts):g}")
    n_levels = counts.shape[-1]
    agreed = _agreed(weights, n_levels)
    n = counts.sum(axis=(-1, -2))
    p = _divide(counts, n[..., None, None])
    rows, columns = p.sum(axis=-1), p.sum(axis=-2)
    by_chance = rows[..., :, None] * columns[..., None, :]
    observed = (agreed * p).sum(axis=(-1, -2))
    chance = (agreed * by_chance).sum(axis=(-1, -2))
    estimate = _divide(observed - chance, 1 - chance)
    means = (columns @ agreed.T)[..., :, None] + (rows @ agreed)[..., None, :]
    # Squares about their mean, not less its square: no error is then no rounding.
    lost = 1 - estimate
    terms = agreed - means * lost[..., None, None]
    terms -= (observed - 2 * chance * lost)[..., None, None]
    null_terms = agreed - means + chance[..., None, None]
    scale = n * (1 - chance) ** 2
    variance = _divide((p * terms**2).sum(axis=(-1, -2)), scale)
    null_variance = _divide((by_chance * null_terms**2).sum(axis=(-1, -2)), scale)
    return Kappa(
        n,
        observed,
        chance,
        estimate,
        np.sqrt(variance),
        np.sqrt(null_variance),
    )


def interval(
    found: Coefficient | Kappa, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the limits of agreement coefficients, on Fisher's z scale.

    The standard error is carried to the scale of atanh by the delta method, with
    Student's t of `n` - 1 degrees of freedom, and the limits back: agreement near 1 is
    skewed, and limits at equal distances miss upwards. The large-sample variance of
    Cohen's kappa, which divides by `n`, is taken by `n` - 1 here, as Gwet's already is.

    Parameters
    ----------
    found : Coefficient or Kappa
        From `chance_corrected`, `conger_kappa` or `cohen_kappa`.
    level : float
        Coverage of the interval.

    Returns
    -------
    low, high : ndarray
        Of the shape of the estimate. Both are the estimate where its error is 0; where
        it lies at -1, below, or at 1 with an error, the scale ends and the limits lie
        at equal distances, the upper one at most 1. NaN below two candidates.

    Raises
    ------
    ValueError
        If `level` does not lie in (0, 1).

    References
    ----------
    Fisher (1921), Metron 1, 3-32, for the scale; Gwet (2014), Handbook of Inter-Rater
    Reliability, 4th ed., ch. 5, for the errors and the degrees of freedom.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level:g}")
    n, estimate = np.asarray(found.n, dtype=np.float64), found.estimate
    freedom = np.where(n > 1, n - 1, np.nan)
    error = found.se
    if isinstance(found, Kappa):
        error = error * np.sqrt(n / freedom)
    half = stdtrit(freedom, 0.5 + level / 2) * error
    inside = np.abs(estimate) < 1
    middle = np.where(inside, estimate, 0.0)
    reach = half / (1 - middle**2)

    def limit(sign: float) -> Floats:
        curved = np.tanh(np.arctanh(middle) + sign * reach)
        straight = np.minimum(estimate + sign * half, 1.0)
        value = np.where(inside & (half > 0), curved, straight)
        return np.where(np.isfinite(half), value, np.nan)

    return limit(-1.0), limit(1.0)


def uniform_variance(n_levels: ArrayLike) -> Floats:
    """Return the variance of raters who use all levels alike, (A^2 - 1) / 12.

    References
    ----------
    James, Demaree & Wolf (1984), J. Appl. Psychol. 69(1), 85-98.
    """
    levels = np.asarray(n_levels, dtype=np.float64)
    return (levels**2 - 1) / 12


def null_variance(shares: ArrayLike) -> Floats:
    """Return the variance of raters who guess with given shares of the levels.

    Parameters
    ----------
    shares : array_like, shape (..., n_levels)
        Expected share of each level without agreement: lenient raters, for instance,
        use the upper ones more.

    Raises
    ------
    ValueError
        If shares are negative or do not add up to 1.

    References
    ----------
    James, Demaree & Wolf (1984), J. Appl. Psychol. 69(1), 85-98; five shapes are in
    LeBreton & Senter (2008), Organ. Res. Methods 11(4), 815-852.
    """
    p = np.asarray(shares, dtype=np.float64)
    total = p.sum(axis=-1)
    if (p < 0).any() or not np.allclose(total, 1):
        raise ValueError(f"shares must be positive and add up to 1, got {p}")
    place = np.arange(p.shape[-1])
    mean = (p * place).sum(axis=-1, keepdims=True)
    return np.asarray((p * (place - mean) ** 2).sum(axis=-1))


def consensus(
    value: ArrayLike,
    unit: ArrayLike,
    *,
    n_units: int,
    null: ArrayLike,
    item: ArrayLike | None = None,
) -> Consensus:
    """Return how close the raters of each unit are: r_wg or r_wg(j), and AD.

    Parameters
    ----------
    value : array_like, shape (n_ratings,)
        Ratings without missing values.
    unit : array_like of int, shape (n_ratings,)
        Candidate of each rating, 0 to `n_units` - 1.
    null : array_like, scalar or shape (n_units,)
        Variance of ratings without agreement, from `uniform_variance` or
        `null_variance`; r_wg depends on it.
    item : array_like of int, shape (n_ratings,), optional
        Item of each rating, from 0, such as a competency; all the same when left out.
        Items with one rating of a unit are left out of it.

    Raises
    ------
    ValueError
        If lengths differ, a code lies outside its range, or `null` is not above 0.

    References
    ----------
    James, Demaree & Wolf (1984), J. Appl. Psychol. 69(1), 85-98; Burke, Finkelstein &
    Dusig (1999), Organ. Res. Methods 2(1), 49-68.
    """
    x, units = np.asarray(value, dtype=np.float64), _codes("units", unit, n_units)
    expected = np.broadcast_to(np.asarray(null, dtype=np.float64), (n_units,))
    if (expected <= 0).any():
        raise ValueError(f"null must be above 0, got {np.nanmin(expected):g}")
    owner, cells = _units(
        np.zeros_like(units) if item is None else item, units, n_units
    )
    _same_length(x, cells)
    size, variance, from_mean, from_median = _spread(x, cells, owner.size)
    several = size > 1
    n_items = np.bincount(owner[several], minlength=n_units)

    def averaged(values: Floats) -> Floats:
        return _divide(_sum(owner[several], values[several], n_units), n_items)

    unlike = averaged(variance) / expected
    shared = n_items * (1 - unlike)
    return Consensus(
        n_ratings=np.bincount(units, minlength=n_units),
        n_items=n_items,
        r_wg=np.where(
            (n_items > 1) & (unlike > 1), 0.0, _divide(shared, shared + unlike)
        ),
        ad_mean=averaged(from_mean),
        ad_median=averaged(from_median),
    )


def complete_blocks(tables: ArrayLike, *, level: float = 0.95) -> SixForms:
    """Return the six intraclass correlations of each block, with F-based intervals.

    Parameters
    ----------
    tables : array_like, shape (n_blocks, n_candidates, n_raters)
        Ratings; at least two candidates and raters. A block with a missing rating
        gets NaN.
    level : float
        Coverage of the intervals.

    Returns
    -------
    SixForms
        Intervals of the absolute forms rest on Satterthwaite's degrees of freedom,
        the others are exact for normal ratings.

    Raises
    ------
    ValueError
        If there are fewer than two candidates or raters.

    References
    ----------
    McGraw & Wong (1996), Psychol. Methods 1(1), 30-46, tables 4 and 7; Shrout & Fleiss
    (1979), Psychol. Bull. 86(2), 420-428.
    """
    x = np.asarray(tables, dtype=np.float64)
    if x.ndim != 3 or min(x.shape[1:]) < 2:
        raise ValueError(
            f"blocks have two candidates and two raters or more, got shape {x.shape}"
        )
    n, k = x.shape[1:]
    squares = between, raters, error, within = _mean_squares(x)
    estimate = _six_forms((between, between, between), squares, n, k)
    df_error = (n - 1) * (k - 1)
    df_absolute = _satterthwaite(estimate[:, 1], raters, error, n, k)
    degrees = (n * (k - 1), df_absolute, df_error)
    bounds = []
    for tail in (0.5 - level / 2, 0.5 + level / 2):
        # The ratio upside down, error over candidates: it has no infinite quantiles.
        shrunk = [between * fdtri(df, n - 1, tail) for df in degrees]
        bounds.append(_six_forms(shrunk, squares, n, k))
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.stack([between / within, *[between / error] * 2] * 2, axis=-1)
    df_columns = np.array([n * (k - 1), df_error, df_error] * 2, dtype=np.float64)
    return SixForms(
        estimate=estimate,
        low=bounds[0],
        high=bounds[1],
        f=f,
        df_between=np.full(f.shape, n - 1.0),
        df_error=np.broadcast_to(df_columns, f.shape),
        ms_between=between,
        ms_raters=raters,
        ms_error=error,
        ms_within=within,
    )


def complete_block(table: ArrayLike) -> CompleteBlock:
    """Return the six intraclass correlations of candidates by raters, no gaps.

    Parameters
    ----------
    table : array_like, shape (n_candidates, n_raters)
        Ratings; at least two of each.

    Raises
    ------
    ValueError
        If a rating is missing or there are fewer than two candidates or raters.

    References
    ----------
    McGraw & Wong (1996), Psychol. Methods 1(1), 30-46, table 4.
    """
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"a complete block has two rows and columns or more, got {x.shape}"
        )
    return CompleteBlock(
        *(float(form) for form in complete_blocks(x[None]).estimate[0])
    )


def _six_forms(
    candidates: Sequence[Floats], squares: tuple[Floats, ...], n: int, k: int
) -> Floats:
    """Coefficients in the order of `FORMS`, from mean squares.

    `candidates` is the candidates' mean square of the one-way, absolute and consistent
    forms; a bound divides it by a quantile.
    """
    _, raters, error, within = squares
    one_way_rows, absolute_rows, consistent_rows = candidates
    one_way_gap = one_way_rows - within
    absolute_gap = n * (absolute_rows - error)
    consistent_gap = consistent_rows - error
    of_raters = k * raters + (k * n - k - n) * error
    return np.stack(
        [
            _divide(one_way_gap, one_way_rows + (k - 1) * within),
            _divide(absolute_gap, of_raters + n * absolute_rows),
            _divide(consistent_gap, consistent_rows + (k - 1) * error),
            _divide(one_way_gap, one_way_rows),
            _divide(absolute_gap, n * absolute_rows + raters - error),
            _divide(consistent_gap, consistent_rows),
        ],
        axis=-1,
    )


def _mean_squares(x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean squares between, of raters, of error and within, by block."""
    n, k = x.shape[1:]
    # Off a rating of the block: equal ratings have squares of exactly 0.
    x = x - x[:, :1, :1]
    x = x - x.mean(axis=(1, 2), keepdims=True)
    rows, columns = x.mean(axis=2, keepdims=True), x.mean(axis=1, keepdims=True)
    between = k * (rows**2).sum(axis=(1, 2)) / (n - 1)
    raters = n * (columns**2).sum(axis=(1, 2)) / (k - 1)
    error = ((x - rows - columns) ** 2).sum(axis=(1, 2)) / ((n - 1) * (k - 1))
    within = ((x - rows) ** 2).sum(axis=(1, 2)) / (n * (k - 1))
    # Squares of rounding are nothing beside squares of ratings.
    least = ROUNDING**2 * (x**2).mean(axis=(1, 2))

    def kept(squares: Floats) -> Floats:
        return np.where(squares < least, 0.0, squares)

    return kept(between), kept(raters), kept(error), kept(within)


def _satterthwaite(
    icc_a1: Floats, raters: Floats, error: Floats, n: int, k: int
) -> Floats:
    """Degrees of freedom of the error of the absolute forms."""
    of_raters = k * icc_a1 * raters
    of_error = (n * (1 + (k - 1) * icc_a1) - k * icc_a1) * error
    top = (k - 1) * (n - 1) * (of_raters + of_error) ** 2
    bottom = (n - 1) * of_raters**2 + of_error**2
    # Without any error the bounds are 1 whatever the degrees of freedom.
    return np.where(bottom == 0, 1.0, _divide(top, bottom))


def _f_quantiles(share: float, df_top: Floats, df_bottom: Floats) -> Floats:
    """Quantile of F by group; groups of one size share its calculation."""
    known = (df_top > 0) & (df_bottom > 0)
    width = df_bottom.max(initial=0) + 1
    pairs, place = np.unique(
        df_top[known] * width + df_bottom[known], return_inverse=True
    )
    quantiles = np.full(df_top.shape, np.nan)
    quantiles[known] = fdtri(pairs // width, pairs % width, share)[place]
    return quantiles


def _spread(
    x: Floats, cells: Integers, n_cells: int
) -> tuple[Integers, Floats, Floats, Floats]:
    """Ratings, variance and mean distances from mean and median of each cell."""
    size = np.bincount(cells, minlength=n_cells)
    in_order = x[np.lexsort((x, cells))]
    first = np.cumsum(size) - size
    median = (in_order[first + (size - 1) // 2] + in_order[first + size // 2]) / 2
    # Off a rating of the cell: equal ratings have a variance of exactly 0.
    base = in_order[first]
    x = x - base[cells]
    from_mean = x - (_sum(cells, x, n_cells) / size)[cells]
    from_median = x - (median - base)[cells]
    return (
        size,
        _divide(_sum(cells, from_mean**2, n_cells), size - 1),
        _sum(cells, np.abs(from_mean), n_cells) / size,
        _sum(cells, np.abs(from_median), n_cells) / size,
    )


def _weighed(
    pairs: Coincidences, n_levels: ArrayLike, weights: Scheme | ArrayLike
) -> _Weighed:
    """Observed agreement by unit and group, and the shares that chance rests on."""
    rubric = np.broadcast_to(np.asarray(n_levels, dtype=np.float64), (pairs.n_groups,))
    counts = pairs.counts.T
    weighing = _weighing(weights, len(counts), rubric)
    size = counts.sum(axis=0)
    several = size > 1
    apart = (counts * (weighing.difference @ counts)).sum(axis=0)
    gap = apart / np.maximum(size * (size - 1), 1)
    agreeing = several - _divide(gap, weighing.scale[pairs.group])
    shares = counts / size
    n = np.bincount(pairs.group, minlength=pairs.n_groups)
    n_several = _sum(pairs.group, several, pairs.n_groups)
    return _Weighed(
        group=pairs.group,
        size=size,
        several=several,
        shares=shares,
        agreeing=agreeing,
        n=n.astype(np.float64),
        n_several=n_several,
        observed=_divide(_sum(pairs.group, agreeing, pairs.n_groups), n_several),
        prevalence=_divide(_by_level(pairs, shares), n),
        weighing=weighing,
        n_levels=rubric,
    )


def _weighing(
    weights: Scheme | ArrayLike,
    n_levels: int,
    rubric: Floats,
    *,
    symmetric: bool = True,
) -> _Weighing:
    """Weights of a scheme for rubrics of several lengths, or a matrix, checked."""
    place = np.arange(n_levels, dtype=np.float64)
    gap = np.abs(place[:, None] - place)
    last = rubric - 1
    if isinstance(weights, str):
        linear = rubric * last * (rubric + 1) / 3
        quadratic = linear * rubric / 2
        schemes = {
            "identity": (gap > 0, np.ones_like(rubric), rubric * last),
            "linear": (gap, last, linear),
            "quadratic": (gap**2, last**2, quadratic),
            "ordinal": (
                gap * (gap + 1) / 2,
                rubric * last / 2,
                (linear + quadratic) / 2,
            ),
        }
        if weights not in schemes:
            raise ValueError(
                f"weights must be one of {', '.join(schemes)} or a matrix,"
                f" got {weights!r}"
            )
        difference, scale, spread = schemes[weights]
        return _Weighing(difference * 1.0, scale, spread)
    own = np.asarray(weights, dtype=np.float64)
    if own.shape != gap.shape or (rubric != n_levels).any():
        raise ValueError(f"weights of shape {own.shape} do not fit {n_levels} levels")
    if not (own.diagonal() == 1).all() or not np.isfinite(own).all():
        raise ValueError(f"weights must be finite and 1 on the diagonal, got {own}")
    if symmetric and not np.array_equal(own, own.T):
        raise ValueError(f"weights must be symmetric, got {own}")
    ones = np.ones_like(rubric)
    return _Weighing(1 - own, ones, ones * (1 - own).sum())


def _agreed(weights: Scheme | ArrayLike, n_levels: int) -> Floats:
    """Agreement of two levels of one rubric, shape (n_levels, n_levels)."""
    rubric = np.array([float(n_levels)])
    weighing = _weighing(weights, n_levels, rubric, symmetric=False)
    return 1 - _divide(weighing.difference, weighing.scale)


def _gwet_factor(weighed: _Weighed) -> Floats:
    """Sum of all weights of a group's rubric over q (q - 1)."""
    q, weighing = weighed.n_levels, weighed.weighing
    return _divide(q**2 - _divide(weighing.spread, weighing.scale), q * (q - 1))


def _gwet_alpha(weighed: _Weighed, pairs: Coincidences) -> Coefficient:
    """Alpha of the candidates with two ratings or more, as Gwet writes it."""
    several = weighed.several
    group, size = weighed.group[several], weighed.size[several]
    n, n_ratings = weighed.n_several, _sum(group, size, pairs.n_groups)
    counts = pairs.counts.T[:, several]
    shares = _divide(
        np.stack([_sum(group, own, pairs.n_groups) for own in counts]),
        n_ratings,
    )
    gaps = _divide(weighed.weighing.difference @ shares, weighed.weighing.scale)
    chance = 1 - (shares * gaps).sum(axis=0)
    relative = size / _divide(n_ratings, n)[group]
    agreeing = weighed.agreeing[several] * relative
    raw = _divide(_sum(group, agreeing, pairs.n_groups), n)
    observed = raw + _divide(1 - raw, n_ratings)
    estimate, without = (_divide(part - chance, 1 - chance) for part in (observed, raw))
    # Both parts are ratios to the number of ratings, which varies between candidates.
    # As in irrCAC 1.0, whose values are the published ones; from 2021 on it takes off
    # `raw` for `observed`, a difference of the order of 1 / n.
    by_chance = ((1 - gaps)[:, group] * counts).sum(axis=0) / size * relative
    moved = by_chance - chance[group] * relative
    terms = agreeing - observed[group] * (relative - 1) - chance[group]
    terms = _divide(terms - 2 * (1 - without[group]) * moved, 1 - chance[group])
    return Coefficient(
        n.astype(np.int64),
        observed,
        chance,
        estimate,
        _standard_error(terms - without[group], group, n),
    )


def _coefficient(
    weighed: _Weighed, chance: Floats, by_level: Floats | None = None
) -> Coefficient:
    """A coefficient whose chance agreement is `by_level` averaged over the ratings.

    `by_level` has shape (n_levels, n_groups); left out, chance is a constant.
    """
    by_unit = chance[weighed.group]
    if by_level is not None:
        by_unit = (weighed.shares * by_level[:, weighed.group]).sum(axis=0)
    return _linearised(weighed, chance, by_unit)


def _linearised(weighed: _Weighed, chance: Floats, by_unit: Floats) -> Coefficient:
    """A coefficient with the standard error of its linear part in each candidate."""
    group = weighed.group
    estimate = _divide(weighed.observed - chance, 1 - chance)
    stretch = _divide(weighed.n, weighed.n_several)[group]
    by_chance, left = chance[group], (1 - chance)[group]
    terms = stretch * (weighed.agreeing - weighed.several * by_chance)
    terms -= 2 * (1 - estimate)[group] * (by_unit - by_chance)
    terms = _divide(terms, left) - estimate[group]
    return Coefficient(
        weighed.n.astype(np.int64),
        weighed.observed,
        chance,
        estimate,
        _standard_error(terms, group, weighed.n),
    )


def _standard_error(terms: Floats, group: Integers, n: Floats) -> Floats:
    """Standard error of a mean of terms that vary about 0."""
    return np.sqrt(_divide(_sum(group, terms**2, n.size), n * (n - 1)))


def _mixture(shares: Floats) -> Floats:
    """Sum of p (1 - p) over levels."""
    return np.asarray((shares * (1 - shares)).sum(axis=0))


def _by_level(pairs: Coincidences, values: Floats) -> Floats:
    """Sums over the units of each group, shape (n_levels, n_groups)."""
    return np.stack([_sum(pairs.group, own, pairs.n_groups) for own in values])


def _ordinal(
    group: Integers, counts: Floats, marginal: Floats
) -> tuple[Floats, Floats]:
    """Squared ordinal differences of all pairs, by unit and by group.

    On mid-ranks the ordinal metric is the interval one: sums of squares give it
    without a matrix for each group.
    """
    n = marginal.sum(axis=0)
    ranks = np.cumsum(marginal, axis=0) - (marginal + n) / 2
    first, second = np.zeros((2, group.size))
    for own, rank in zip(counts, ranks.take(group, axis=1), strict=True):
        scored = own * rank
        first += scored
        second += scored * rank
    apart = 2 * (counts.sum(axis=0) * second - first**2)
    # Ranks about their middle sum to 0.
    return apart, 2 * n * (marginal * ranks**2).sum(axis=0)


def _differences(metric: Metric, n_levels: int, values: ArrayLike | None) -> Floats:
    """Krippendorff's squared difference of two levels, shape (n_levels, n_levels)."""
    if metric not in ("nominal", "interval", "ratio"):
        raise ValueError(
            f"metric must be nominal, ordinal, interval or ratio, got {metric!r}"
        )
    if metric == "ratio" and values is None:
        raise ValueError("the ratio metric needs the value of each level")
    if values is None or metric == "nominal":
        worth = np.arange(n_levels, dtype=np.float64)
    else:
        worth = np.asarray(values, dtype=np.float64)
    if worth.shape != (n_levels,):
        raise ValueError(f"values must have shape ({n_levels},), got {worth.shape}")
    gap = worth[:, None] - worth
    if metric == "nominal":
        return (gap != 0).astype(np.float64)
    if metric == "interval":
        return gap**2
    if (worth < 0).any():
        raise ValueError(f"a ratio scale has no values below 0, got {worth.min():g}")
    total = worth[:, None] + worth
    return np.divide(gap, total, out=np.zeros_like(gap), where=total > 0) ** 2


def _agreement(total: Floats) -> Agreement:
    """Agreement from summed coincidences, shape (..., n_levels, n_levels)."""
    place = np.arange(total.shape[-1], dtype=np.float64)
    gap = np.abs(place[:, None] - place)
    marginal = total.sum(axis=-1)
    n = marginal.sum(axis=-1)
    expected = marginal[..., :, None] * marginal[..., None, :]
    middle = np.cumsum(marginal, axis=-1) - marginal / 2
    ranks = (middle[..., :, None] - middle[..., None, :]) ** 2
    # One product with all fixed differences reads the tables once.
    fixed = np.stack([gap > 0, gap**2, gap == 0, gap <= 1, gap]).reshape(5, -1).T
    flat = (*n.shape, gap.size)
    seen, by_chance = total.reshape(flat) @ fixed, expected.reshape(flat) @ fixed

    def corrected(observed: Floats, expected: Floats) -> Floats:
        return 1 - (n - 1) * _divide(observed, expected)

    return Agreement(
        alpha_nominal=corrected(seen[..., 0], by_chance[..., 0]),
        alpha_ordinal=corrected(
            np.einsum("...kl,...kl->...", total, ranks),
            np.einsum("...kl,...kl->...", expected, ranks),
        ),
        alpha_interval=corrected(seen[..., 1], by_chance[..., 1]),
        exact=_divide(seen[..., 2], n),
        within_one=_divide(seen[..., 3], n),
        mean_difference=_divide(seen[..., 4], n),
    )


def _columns(values: Agreement) -> list[Floats]:
    """The fields in order."""
    return [
        values.alpha_nominal,
        values.alpha_ordinal,
        values.alpha_interval,
        values.exact,
        values.within_one,
        values.mean_difference,
    ]


def _draws(own: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Coincidences of resampled candidates, shape (replicates, levels, levels).

    Candidates with equal counts are drawn together, as a multinomial: the bounds
    depend on what was rated, not on the order of ids, and cost no more for more of
    the same.
    """
    patterns, times = np.unique(own, axis=0, return_counts=True)
    weights = rng.multinomial(len(own), times / len(own), size=replicates)
    pairs = _paired(patterns)
    drawn = weights.astype(float) @ pairs.reshape(len(pairs), -1)
    return np.asarray(drawn.reshape(replicates, *pairs.shape[1:]))


def _paired(counts: Floats) -> Floats:
    """Ordered pairs of ratings by two levels, from the counts of each level."""
    pairs: Floats = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    size = counts.sum(axis=1)
    pairs *= np.where(size > 1, 1 / np.maximum(size - 1, 1), 0.0)[:, None, None]
    return pairs


def _units(
    unit: ArrayLike, group: ArrayLike, n_groups: int
) -> tuple[Integers, Integers]:
    """Group of each unit, ascending, and the unit of each rating."""
    units, groups = _codes("units", unit), _codes("groups", group, n_groups)
    _same_length(units, groups)
    is_same = groups[1:] == groups[:-1]
    if ((groups[1:] > groups[:-1]) | (is_same & (units[1:] >= units[:-1]))).all():
        is_first = np.ones(units.size, dtype=np.bool_)
        is_first[1:] = ~is_same | (units[1:] != units[:-1])
        return groups[np.flatnonzero(is_first)], np.cumsum(is_first) - 1
    width = int(units.max()) + 1
    keys = groups * width + units
    if n_groups * width <= 4 * keys.size:
        # Marking codes that occur is several times faster than sorting them.
        occurs = np.zeros(n_groups * width, dtype=np.bool_)
        occurs[keys] = True
        return np.flatnonzero(occurs) // width, (np.cumsum(occurs) - 1)[keys]
    found, codes = np.unique(keys, return_inverse=True)
    return found // width, codes


def _codes(name: str, values: ArrayLike, size: int | None = None) -> Integers:
    """Codes from 0, below `size`, checked."""
    codes = np.asarray(values)
    if not codes.size:
        return codes.astype(np.int64)
    if codes.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers, got {codes.dtype}")
    low, high = int(codes.min()), int(codes.max())
    if size is not None and (low < 0 or high >= size):
        raise ValueError(f"{name} must lie in 0 to {size - 1}, got {low} to {high}")
    if low < 0:
        raise ValueError(f"{name} must not be negative, got {low}")
    return codes.astype(np.int64, copy=False)


def _same_length(*columns: NDArray[np.generic]) -> None:
    """Refuse columns of different lengths."""
    sizes = {column.shape for column in columns}
    if len(sizes) > 1:
        raise ValueError(f"ratings, units and groups differ in length: {sizes}")


def _sum(codes: Integers, values: ArrayLike, size: int) -> Floats:
    """Sum of the values of each code; 0 for those that do not occur."""
    return np.bincount(codes, values, size).astype(np.float64, copy=False)


def _divide(top: ArrayLike, bottom: ArrayLike) -> Floats:
    """The quotient; NaN instead of a division by zero."""
    a, b = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)
