"""Score gaps between groups: their size, what they do to selection, and item bias.

A gap in a competency is not yet bias of its rating: groups may differ in all they are
rated on. Differential item functioning (DIF) is the gap that stays between candidates
matched on their total. Every difference is focal group minus reference group, so
negative numbers mean that the focal group trails. A slice is one comparison, such as a
competency in a round for one group; a reference group is repeated in each of its
slices.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise
from scipy.special import (
    chdtrc,
    expit,
    gammaln,
    log_expit,
    logit,
    nctdtrinc,
    ndtr,
    ndtri,
    stdtr,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Words = NDArray[np.str_]

# Smallest group for which callers show a gap, and for which DIF may lead to an action:
# the least ETS asks for where tests are assembled (Zwick 2012, ETS RR-12-08).
GAP_MIN = 30
DIF_ACTION_MIN = 200
# A logit times this is a point on the ETS delta scale, whose standard deviation is 4.
DELTA = 2.35
# A likelihood without a maximum shows by a slope of so many logits, where the group or
# the total tells the score for sure, or by curving less than this in some direction.
STEEPEST, FLATTEST = 20.0, 1e-8
STEPS, HALVINGS = 60, 40


@dataclass(frozen=True)
class Moments:
    """Size, mean and standard deviation of each group; NaN where there is none."""

    n: Integers
    mean: Floats
    sd: Floats


@dataclass(frozen=True)
class ScoreGap:
    """Standardised difference of two means; arrays of one shape.

    Attributes
    ----------
    d, g : ndarray
        Difference in pooled standard deviations, and the same without its small-sample
        bias (Hedges); NaN with fewer than four people or without spread.
    low, high : ndarray
        Interval of the difference in the population.
    welch_t, welch_df, welch_p : ndarray
        Welch's test of equal means; NaN where a side has fewer than two people or
        neither has spread.
    """

    d: Floats
    g: Floats
    low: Floats
    high: Floats
    welch_t: Floats
    welch_df: Floats
    welch_p: Floats


@dataclass(frozen=True)
class MantelDif:
    """DIF by the Mantel–Haenszel method, by slice.

    Attributes
    ----------
    n_focal, n_reference, n_strata : ndarray of int
        People and totals that could be matched: others have nobody to compare with.
    n_levels : ndarray of int
        Different scores given in the slice.
    chi_square, p : ndarray
        Mantel's test of no DIF; with two levels Mantel and Haenszel's.
    odds_ratio : ndarray
        Odds of a higher score, reference over focal, common to all totals and cut
        points: Mantel–Haenszel's with two levels, Liu and Agresti's with more. NaN
        where it is 0 or infinite.
    delta, delta_se : ndarray
        -2.35 log odds ratio (MH D-DIF) and its standard error.
    smd, smd_se : ndarray
        Mean difference in score between matched people, weighted by the focal group
        (standardised mean difference), and its standard error without DIF.
    smd_ratio : ndarray
        `smd` over the standard deviation of all matched scores.
    category : ndarray of str
        A, B or C with two levels, AA, BB or CC with more; empty where not estimable.
    """

    n_focal: Integers
    n_reference: Integers
    n_strata: Integers
    n_levels: Integers
    chi_square: Floats
    p: Floats
    odds_ratio: Floats
    delta: Floats
    delta_se: Floats
    smd: Floats
    smd_se: Floats
    smd_ratio: Floats
    category: Words


@dataclass(frozen=True)
class OrdinalDif:
    """DIF by ordinal logistic regression, by slice.

    Attributes
    ----------
    n_focal, n_reference : ndarray of int
        People with a score and a total.
    effect, se, low, high : ndarray
        Log odds of a higher score, focal against reference, given the total, with
        standard error and Wald interval. NaN where there is no maximum: one group or
        one score only, a total that tells the group, or a group that tells the score.
    wald_p : ndarray
        P-value of the effect over its standard error.
    likelihood_ratio, lr_p : ndarray
        Twice the log likelihood gained by the group, and its p-value.
    delta, delta_se : ndarray
        Effect and standard error times 2.35: the sign and scale of MH D-DIF, which is
        -2.35 times the log odds of reference against focal.
    """

    n_focal: Integers
    n_reference: Integers
    effect: Floats
    se: Floats
    low: Floats
    high: Floats
    wald_p: Floats
    likelihood_ratio: Floats
    lr_p: Floats
    delta: Floats
    delta_se: Floats


def moments(
    score: ArrayLike, *, group: ArrayLike, n_groups: int | None = None
) -> Moments:
    """Return the size, mean and standard deviation of each group's scores.

    Parameters
    ----------
    score : array_like of float, shape (n_people,)
        NaN is left out.
    group : array_like of int, shape (n_people,)
        Code from 0 of the group each score belongs to.
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.

    Returns
    -------
    Moments
        The standard deviation has n - 1 in its denominator; NaN below two scores.

    Raises
    ------
    ValueError
        If the arrays differ in shape or a code is negative or not below `n_groups`.
    """
    scores = np.asarray(score, dtype=np.float64)
    codes, size = _codes("group", group, scores.shape, n_groups)
    known = ~np.isnan(scores)
    scores, codes = scores[known], codes[known]
    n = np.bincount(codes, minlength=size)
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(lowest, codes, scores)
    np.maximum.at(highest, codes, scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Equal scores have no spread, not the rounding error of their mean.
        mean = np.where(lowest == highest, lowest, np.bincount(codes, scores, size) / n)
        squares = np.bincount(codes, (scores - mean[codes]) ** 2, size)
        sd = np.sqrt(np.where(n > 1, squares / (n - 1), np.nan))
    return Moments(n, mean, sd)


def score_gap(
    n: ArrayLike,
    mean: ArrayLike,
    sd: ArrayLike,
    *,
    reference_n: ArrayLike,
    reference_mean: ArrayLike,
    reference_sd: ArrayLike,
    level: float = 0.95,
) -> ScoreGap:
    """Return Hedges' g with its interval, and Welch's test.

    The interval inverts the noncentral t distribution, which is exact at any size for
    normal scores of equal spread: with three people a side it covers 95.0 %, g with
    1.96 standard errors 95.9 %. It belongs to the difference in the population, so it
    is not multiplied by the correction that makes g of d.

    Parameters
    ----------
    n, mean, sd, reference_n, reference_mean, reference_sd : array_like
        Size, mean and standard deviation of the focal group and of its reference; any
        shapes that broadcast. NaN where a group has none.
    level : float
        Coverage of the interval.

    Returns
    -------
    ScoreGap
        Arrays of the common shape; negative where the focal group scores lower.

    Raises
    ------
    ValueError
        If a size is negative or not whole, or a standard deviation is negative.

    References
    ----------
    Hedges (1981), J. Educ. Stat. 6, 107-128, correction (6e); Steiger & Fouladi (1997)
    in Harlow et al., What If There Were No Significance Tests?, 221-257; Welch (1947),
    Biometrika 34, 28-35.
    """
    size, centre, spread, size_ref, centre_ref, spread_ref = (
        np.array(values)
        for values in np.broadcast_arrays(
            *(
                np.atleast_1d(np.asarray(values, dtype=np.float64))
                for values in (n, mean, sd, reference_n, reference_mean, reference_sd)
            )
        )
    )
    for name, counts in (("n", size), ("reference_n", size_ref)):
        wrong = counts[~((counts >= 0) & (counts == np.floor(counts)))]
        if wrong.size:
            raise ValueError(f"{name} must be a count, got {wrong[0]}")
    for name, values in (("sd", spread), ("reference_sd", spread_ref)):
        if (values < 0).any():
            raise ValueError(f"{name} must not be negative, got {np.nanmin(values)}")
    d, g, low, high = _hedges(
        centre - centre_ref, size, spread, size_ref, spread_ref, level
    )
    welch = _welch(centre - centre_ref, size, spread, size_ref, spread_ref)
    return ScoreGap(d, g, low, high, *welch)


def expected_ratio(
    d: ArrayLike, *, selection_ratio: ArrayLike, focal_share: ArrayLike
) -> Floats:
    """Return the impact ratio to expect when the top scores of all are selected.

    Scores of both groups are taken as normal with equal spread, and cut at one score.

    Parameters
    ----------
    d : array_like
        Standardised difference, negative where the focal group scores lower.
    selection_ratio : array_like
        Share of all candidates selected, in (0, 1).
    focal_share : array_like
        Share of the focal group among the candidates of both, in [0, 1].

    Returns
    -------
    ndarray
        Selection rate of the focal group over that of the reference, of the common
        shape; NaN where an argument is.

    Raises
    ------
    ValueError
        If a share lies outside its range.

    References
    ----------
    De Corte & Lievens (2003), Int. J. Selection and Assessment 11, 87-95.
    """
    gap, ratio, share = _shares(d, selection_ratio, focal_share)

    def surplus(cut: Floats, gap: Floats, ratio: Floats, share: Floats) -> Floats:
        return share * ndtr(gap - cut) + (1 - share) * ndtr(-cut) - ratio

    result = np.full(gap.shape, np.nan)
    known = ~np.isnan(gap + ratio + share)
    if known.any():
        gap, ratio, share = gap[known], ratio[known], share[known]
        centre = -ndtri(ratio)
        # A little beyond the cuts that would do for one group alone.
        bracket = centre + np.minimum(gap, 0) - 0.1, centre + np.maximum(gap, 0) + 0.1
        cut = elementwise.find_root(surplus, bracket, args=(gap, ratio, share)).x
        result[known] = ndtr(gap - cut) / ndtr(-cut)
    return result


def gap_at_ratio(
    ratio: ArrayLike, *, selection_ratio: ArrayLike, focal_share: ArrayLike
) -> Floats:
    """Return the standardised difference at which this impact ratio is to be expected.

    Parameters
    ----------
    ratio : array_like
        Impact ratio, above 0; 0.8 gives the gap at which four fifths are expected.
    selection_ratio, focal_share
        As for `expected_ratio`.

    Returns
    -------
    ndarray
        Negative below a ratio of 1; NaN where no difference makes so large a ratio.

    Raises
    ------
    ValueError
        If a share lies outside its range or a ratio is not above 0.

    References
    ----------
    De Corte & Lievens (2003), Int. J. Selection and Assessment 11, 87-95, inverted.
    """
    wanted, overall, share = _shares(ratio, selection_ratio, focal_share)
    if (wanted <= 0).any():
        raise ValueError(f"ratio must be above 0, got {np.nanmin(wanted)}")
    rate_ref = overall / (share * wanted + 1 - share)
    rate = wanted * rate_ref
    possible = (rate < 1) & (rate_ref < 1)
    return ndtri(np.where(possible, rate, np.nan)) - ndtri(rate_ref)


def ets_category(
    delta: ArrayLike, delta_se: ArrayLike, p: ArrayLike, *, alpha: float = 0.05
) -> Words:
    """Return the ETS category of DIF on the delta scale: A, B or C.

    C is a delta of at least 1.5 that is significantly beyond 1 (one-sided); A one that
    is not significantly different from 0, or below 1; B all others.

    Parameters
    ----------
    delta, delta_se, p : array_like
        MH D-DIF, its standard error, and the p-value of no DIF; shapes that broadcast.
    alpha : float
        Level of both tests.

    Returns
    -------
    ndarray of str
        Empty where an argument is NaN.

    References
    ----------
    Dorans & Holland (1993) in Holland & Wainer, Differential Item Functioning, 41-42;
    Zwick (2012), ETS RR-12-08.
    """
    size, se, chance = np.broadcast_arrays(
        np.abs(np.asarray(delta, dtype=np.float64)), np.asarray(delta_se), np.asarray(p)
    )
    is_beyond_one = size - 1 > float(ndtri(1 - alpha)) * se
    return np.select(
        [
            np.isnan(size + se + chance),
            (chance >= alpha) | (size < 1),
            (size >= 1.5) & is_beyond_one,
        ],
        ["", "A", "C"],
        "B",
    )


def mantel_dif(
    score: ArrayLike,
    matched: ArrayLike,
    *,
    is_focal: ArrayLike,
    slice_code: ArrayLike,
    n_slices: int | None = None,
    continuity: float = 0.5,
    alpha: float = 0.05,
) -> MantelDif:
    """Return how much scores differ between people of equal total.

    Parameters
    ----------
    score : array_like of float, shape (n_people,)
        Rating on ordered levels, or 0 and 1; NaN is left out.
    matched : array_like of float, shape (n_people,)
        Total people are matched on, exactly as given; NaN is left out. It should hold
        the rating studied (Zwick 1990): few other ratings measure too badly to match
        on. With four competencies, no DIF, a gap of half a standard deviation and 150
        people a side, a total of the three others finds DIF at .05 in 18 % of slices,
        a total of all four in 6 %.
    is_focal : array_like of bool, shape (n_people,)
        Whether a person belongs to the focal group or to the reference.
    slice_code : array_like of int, shape (n_people,)
        Code from 0 of the slice each row belongs to.
    n_slices : int, optional
        Length of the answer; one more than the largest code when left out.
    continuity : float
        Share of a step taken off the excess before the chi-square of a score with two
        levels is formed; ETS takes off 0.5. With more levels there is none.
    alpha : float
        Level of the tests in `category`.

    Returns
    -------
    MantelDif
        Arrays of shape (n_slices,).

    Raises
    ------
    ValueError
        If the arrays differ in shape or a code is negative or not below `n_slices`.

    References
    ----------
    Holland & Thayer (1988) in Wainer & Braun, Test Validity, 129-145; Mantel (1963),
    JASA 58, 690-700; Liu & Agresti (1996), Biometrics 52, 1223-1234, with the variance
    that is Robins, Breslow and Greenland's for two levels; Zwick & Thayer (1996), J.
    Educ. Behav. Stat. 21, 187-201 (SMD); AA to CC: Zwick, Thayer & Mazzeo (1997),
    Applied Measurement in Education 10, 321-344; Zwick (1990), J. Educ. Stat. 15,
    185-197.
    """
    table = _matched(score, matched, is_focal, slice_code, n_slices)
    kept = (table.counts.sum(axis=2) > 0).all(axis=1)
    counts, slices = table.counts[kept], table.slices[kept]
    n_reference, n_focal = (
        np.bincount(slices, counts[:, side].sum(axis=1), table.size).astype(np.int64)
        for side in (0, 1)
    )
    excess, variance, smd, smd_se, smd_ratio = _mean_differences(
        counts, table.points[slices], slices, table.size
    )
    is_binary = table.n_levels == 2
    step = np.where(is_binary, table.points[:, 1] - table.points[:, 0], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        reduced = np.maximum(np.abs(excess) - continuity * step, 0.0)
        chi_square = np.where(variance > 0, reduced**2 / variance, np.nan)
    p = chdtrc(1, chi_square)
    odds_ratio, se = _cumulative_odds(counts, slices, table.size)
    delta, delta_se = -DELTA * np.log(odds_ratio), DELTA * se
    return MantelDif(
        n_focal=n_focal,
        n_reference=n_reference,
        n_strata=np.bincount(slices, minlength=table.size),
        n_levels=table.n_levels,
        chi_square=chi_square,
        p=p,
        odds_ratio=odds_ratio,
        delta=delta,
        delta_se=delta_se,
        smd=smd,
        smd_se=smd_se,
        smd_ratio=smd_ratio,
        category=np.where(
            is_binary,
            ets_category(delta, delta_se, p, alpha=alpha),
            _smd_category(smd_ratio, p, alpha),
        ),
    )


def ordinal_dif(
    score: ArrayLike,
    matched: ArrayLike,
    *,
    is_focal: ArrayLike,
    slice_code: ArrayLike,
    n_slices: int | None = None,
    level: float = 0.95,
) -> OrdinalDif:
    """Return the group's effect on the score in a proportional odds model.

    The cumulative logits of the score are linear in the total and shifted by the
    group. All slices are fitted at once by Newton's method; statsmodels' OrderedModel
    fits one at a time, by a general optimiser.

    Parameters
    ----------
    score, matched, is_focal, slice_code, n_slices
        As for `mantel_dif`.
    level : float
        Coverage of the interval.

    Returns
    -------
    OrdinalDif
        Arrays of shape (n_slices,).

    Raises
    ------
    ValueError
        If the arrays differ in shape or a code is negative or not below `n_slices`.

    References
    ----------
    McCullagh (1980), JRSS B 42, 109-142; French & Miller (1996), J. Educ. Measurement
    33, 315-332.
    """
    table = _matched(score, matched, is_focal, slice_code, n_slices)
    n_reference, n_focal = (
        np.bincount(table.slices, table.counts[:, side].sum(axis=1), table.size).astype(
            np.int64
        )
        for side in (0, 1)
    )
    effect, se, likelihood_ratio = np.full((3, table.size), np.nan)
    rows, usable = _model_rows(table)
    if usable.size:
        full = _proportional_odds(rows, n_slopes=2)
        null = _proportional_odds(rows.without_group(), n_slopes=1)
        found = full.is_found & null.is_found
        at = usable[found]
        effect[at], se[at] = full.effect[found], full.se[found]
        gain = 2 * (full.log_likelihood - null.log_likelihood)
        likelihood_ratio[at] = np.maximum(gain[found], 0.0)
    z = float(ndtri(0.5 + level / 2))
    return OrdinalDif(
        n_focal=n_focal,
        n_reference=n_reference,
        effect=effect,
        se=se,
        low=effect - z * se,
        high=effect + z * se,
        wald_p=2 * ndtr(-np.abs(effect / se)),
        likelihood_ratio=likelihood_ratio,
        lr_p=chdtrc(1, likelihood_ratio),
        delta=DELTA * effect,
        delta_se=DELTA * se,
    )


def _hedges(
    difference: Floats,
    n: Floats,
    sd: Floats,
    n_ref: Floats,
    sd_ref: Floats,
    level: float,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Cohen's d, Hedges' g and the noncentral t interval."""
    freedom = n + n_ref - 2
    # A single person has no spread of its own but can be compared with a group.
    squares, squares_ref = (
        np.where(size > 1, (size - 1) * spread**2, 0.0)
        for size, spread in ((n, sd), (n_ref, sd_ref))
    )
    usable = (n > 0) & (n_ref > 0) & (freedom >= 2) & (squares + squares_ref > 0)
    freedom = np.where(usable, freedom, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = difference / np.sqrt((squares + squares_ref) / freedom)
        root = np.sqrt(n * n_ref / (n + n_ref))
        low, high = (
            nctdtrinc(freedom, chance, d * root) / root
            for chance in (0.5 + level / 2, 0.5 - level / 2)
        )
    correction = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2))
    return d, d * correction / np.sqrt(freedom / 2), low, high


def _welch(
    difference: Floats, n: Floats, sd: Floats, n_ref: Floats, sd_ref: Floats
) -> tuple[Floats, Floats, Floats]:
    """Welch's t, its degrees of freedom and two-sided p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(n > 1, sd**2 / n, np.nan)
        two = np.where(n_ref > 1, sd_ref**2 / n_ref, np.nan)
        variance = np.where(one + two > 0, one + two, np.nan)
        t = difference / np.sqrt(variance)
        freedom = variance**2 / (one**2 / (n - 1) + two**2 / (n_ref - 1))
    return t, freedom, 2 * stdtr(freedom, -np.abs(t))


def _shares(
    value: ArrayLike, selection_ratio: ArrayLike, focal_share: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """The value and both shares in one shape, checked."""
    values, ratio, share = (
        np.array(each, dtype=np.float64)
        for each in np.broadcast_arrays(
            np.atleast_1d(value), selection_ratio, focal_share
        )
    )
    if ((ratio <= 0) | (ratio >= 1)).any():
        raise ValueError(f"selection_ratio must lie in (0, 1), got {ratio}")
    if ((share < 0) | (share > 1)).any():
        raise ValueError(f"focal_share must lie in [0, 1], got {share}")
    return values, ratio, share


def _codes(
    name: str, codes: ArrayLike, shape: tuple[int, ...], size: int | None
) -> tuple[Integers, int]:
    """Codes of a given shape, and how many there can be, checked."""
    values = np.asarray(codes)
    if values.shape != shape or len(shape) != 1:
        raise ValueError(f"{name} must have one code per row, got {values.shape}")
    if (values < 0).any():
        raise ValueError(f"{name} must not be negative, got {values.min()}")
    values = values.astype(np.int64)
    largest = int(values.max(initial=-1))
    if size is not None and largest >= size:
        raise ValueError(f"{name} must be below {size}, got {largest}")
    return values, largest + 1 if size is None else size


@dataclass(frozen=True)
class _Table:
    """Counts by total, side and level.

    `counts` has shape (n_strata, 2, n_levels), reference first; a stratum is one total
    of a slice. `points` are the scores the levels of each slice stand for, NaN beyond
    `n_levels`.
    """

    counts: Floats
    slices: Integers
    matched: Floats
    points: Floats
    n_levels: Integers
    size: int


def _matched(
    score: ArrayLike,
    matched: ArrayLike,
    is_focal: ArrayLike,
    slice_code: ArrayLike,
    n_slices: int | None,
) -> _Table:
    """Rows with a score and a total, counted."""
    scores = np.asarray(score, dtype=np.float64)
    totals = np.asarray(matched, dtype=np.float64)
    sides = np.asarray(is_focal, dtype=np.bool_)
    for name, values in (("matched", totals), ("is_focal", sides)):
        if values.shape != scores.shape:
            raise ValueError(
                f"{name} must have shape {scores.shape}, got {values.shape}"
            )
    codes, size = _codes("slice_code", slice_code, scores.shape, n_slices)
    known = ~np.isnan(scores + totals)
    stratum, slices, values = _distinct(totals[known], codes[known])
    level, level_slice, points = _distinct(scores[known], codes[known])
    n_levels = np.bincount(level_slice, minlength=size)
    first = np.cumsum(n_levels) - n_levels
    rank = level - first[codes[known]]
    most = max(int(n_levels.max(initial=0)), 2)
    counts = np.bincount(
        (stratum * 2 + sides[known]) * most + rank, minlength=slices.size * 2 * most
    )
    by_level = np.full((size, most), np.nan)
    by_level[level_slice, np.arange(points.size) - first[level_slice]] = points
    return _Table(
        counts.reshape(slices.size, 2, most).astype(np.float64),
        slices,
        values,
        by_level,
        n_levels,
        size,
    )


def _distinct(values: Floats, codes: Integers) -> tuple[Integers, Integers, Floats]:
    """Place of each row among the distinct values by code; their codes and values."""
    order = np.lexsort((values, codes))
    is_new = np.ones(values.size, dtype=np.bool_)
    is_new[1:] = (np.diff(codes[order]) != 0) | (np.diff(values[order]) != 0)
    place = np.empty(values.size, dtype=np.int64)
    place[order] = np.cumsum(is_new) - 1
    firsts = order[is_new]
    return place, codes[firsts], values[firsts]


def _mean_differences(
    counts: Floats, points: Floats, slices: Integers, size: int
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Excess of the focal scores, its variance, the SMD, its error and its ratio."""

    def add(values: Floats) -> Floats:
        return np.bincount(slices, values, size).astype(np.float64)

    score = np.nan_to_num(points)
    both = counts.sum(axis=1)
    n_ref, n = counts[:, 0].sum(axis=1), counts[:, 1].sum(axis=1)
    pool = n + n_ref
    mean = (both * score).sum(axis=1) / pool
    # Equal scores have no spread, not the rounding error of their mean.
    is_mixed = (both > 0).sum(axis=1) > 1
    centred = np.where(is_mixed[:, None], score - mean[:, None], 0.0)
    total = (counts[:, 1] * centred).sum(axis=1)
    variance = n * n_ref / (pool * (pool - 1)) * (both * centred**2).sum(axis=1)
    # Scores are centred by stratum, so the sums of both sides cancel.
    difference = total * (1 / n + 1 / n_ref)
    spread = (n * (1 / n + 1 / n_ref)) ** 2 * variance
    n_slice, n_focal = add(pool), add(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        smd = add(n * difference) / n_focal
        smd_se = np.sqrt(add(spread)) / n_focal
        grand = add(pool * mean) / n_slice
        squares = add((both * (score - grand[slices, None]) ** 2).sum(axis=1))
        sd = np.sqrt(squares / (n_slice - 1))
        ratio = np.where(sd > 0, smd / sd, np.nan)
    return add(total), add(variance), smd, smd_se, ratio


def _cumulative_odds(
    counts: Floats, slices: Integers, size: int
) -> tuple[Floats, Floats]:
    """Common cumulative odds ratio, and the standard error of its logarithm."""
    pool = counts.sum(axis=(1, 2))[:, None]
    below = np.cumsum(counts, axis=2)[:, :, :-1]
    above = counts.sum(axis=2)[:, :, None] - below
    ref_below, ref_above = below[:, 0], above[:, 0]
    focal_below, focal_above = below[:, 1], above[:, 1]
    for_ref, for_focal = ref_above * focal_below, ref_below * focal_above
    # Two cut points of a stratum count the same people, so their terms covary.
    squared, crossed, squared_focal = np.zeros((3, slices.size))
    for low in range(below.shape[2]):
        for high in range(low, below.shape[2]):
            times = 1.0 if low == high else 2.0
            ref = times * ref_above[:, high] * focal_below[:, low]
            focal = times * ref_below[:, low] * focal_above[:, high]
            alike = ref_above[:, low] + focal_below[:, high]
            unlike = ref_below[:, high] + focal_above[:, low]
            squared += ref * alike
            squared_focal += focal * unlike
            crossed += ref * (focal_above[:, high] + ref_below[:, low])
            crossed += focal * (ref_above[:, high] + focal_below[:, low])
    r, t, rr, rt, tt = (
        np.bincount(slices, values, size)
        for values in (
            (for_ref / pool).sum(axis=1),
            (for_focal / pool).sum(axis=1),
            *(each / pool[:, 0] ** 2 for each in (squared, crossed, squared_focal)),
        )
    )
    r, t = np.where(r > 0, r, np.nan), np.where(t > 0, t, np.nan)
    variance = rr / (2 * r**2) + rt / (2 * r * t) + tt / (2 * t**2)
    return r / t, np.sqrt(variance)


def _smd_category(ratio: Floats, p: Floats, alpha: float) -> Words:
    """ETS category of DIF of a score with several levels."""
    size = np.abs(ratio)
    return np.select(
        [np.isnan(size + p), (p >= alpha) | (size <= 0.17), size > 0.25],
        ["", "AA", "CC"],
        "BB",
    )


@dataclass(frozen=True)
class _Rows:
    """Distinct rows of the proportional odds models, with how often each occurs.

    Rows are sorted by slice, and every slice has some. `upper` and `lower` hold what
    the parameters of the slice, its cuts and then its slopes, are multiplied by to give
    the distance of the cut above and below the row's score from the row's prediction;
    a row at an end of the scale has no such cut, and the distance is infinite.
    """

    slices: Integers
    weight: Floats
    upper: Floats
    lower: Floats
    is_top: Booleans
    is_bottom: Booleans
    start: Floats

    def without_group(self) -> "_Rows":
        """The same rows without the last slope."""
        return replace(
            self,
            upper=self.upper[:, :-1],
            lower=self.lower[:, :-1],
            start=self.start[:, :-1],
        )

    def add(self, values: Floats) -> Floats:
        """Weighted sum of the rows of each slice."""
        first = np.flatnonzero(np.diff(self.slices, prepend=-1))
        weight = self.weight.reshape(-1, *(1,) * (values.ndim - 1))
        return np.add.reduceat(weight * values, first, axis=0)

    def distances(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Distances of the cuts above and below each row from its prediction."""
        own = parameters[self.slices]
        upper = np.where(self.is_top, np.inf, (self.upper * own).sum(axis=1))
        lower = np.where(self.is_bottom, -np.inf, (self.lower * own).sum(axis=1))
        return upper, lower


@dataclass(frozen=True)
class _Fit:
    """Last slope of each slice, and whether its likelihood has a maximum."""

    effect: Floats
    se: Floats
    log_likelihood: Floats
    is_found: Booleans


def _model_rows(table: _Table) -> tuple[_Rows, Integers]:
    """Rows of the slices with two groups and two scores, and which slices these are."""
    stratum, side, level = np.nonzero(table.counts)
    weight = table.counts[stratum, side, level]
    slices = table.slices[stratum]
    covariates, is_usable = _covariates(table, stratum, side, weight)
    kept = is_usable[slices]
    level, weight = level[kept], weight[kept]
    own = (np.cumsum(is_usable) - 1)[slices[kept]]
    n_slices, n_levels = int(is_usable.sum()), table.counts.shape[2]
    is_top = level == table.n_levels[slices[kept]] - 1
    cuts = np.eye(n_levels)[:, :-1]
    counts = np.bincount(own * n_levels + level, weight, n_slices * n_levels)
    below = np.cumsum(counts.reshape(n_slices, n_levels), axis=1)
    share = below[:, :-1] / below[:, -1:]
    start = np.hstack([np.where(share < 1, logit(share), 0), np.zeros((n_slices, 2))])
    rows = _Rows(
        slices=own,
        weight=weight,
        upper=np.hstack([cuts[level] * ~is_top[:, None], -covariates[kept]]),
        lower=np.hstack([np.roll(cuts, 1, axis=0)[level], -covariates[kept]]),
        is_top=is_top,
        is_bottom=level == 0,
        start=start,
    )
    return rows, np.flatnonzero(is_usable)


def _covariates(
    table: _Table, stratum: Integers, side: Integers, weight: Floats
) -> tuple[Floats, Booleans]:
    """Standardised total and group of each row, and which slices can be fitted."""
    slices, focal = table.slices[stratum], side.astype(np.float64)

    def mean(values: Floats) -> Floats:
        total = np.bincount(slices, weight * values, table.size)
        result: Floats = total / np.bincount(slices, weight, table.size)
        return result

    with np.errstate(divide="ignore", invalid="ignore"):
        total = table.matched[stratum]
        total = total - mean(total)[slices]
        spread = np.sqrt(mean(total**2))
        has_totals = np.bincount(table.slices, minlength=table.size) > 1
        total = np.where(has_totals[slices], total / spread[slices], 0.0)
        share = mean(focal)
        link = mean(total * (focal - share[slices])) ** 2
        # Where the total tells the group, nothing is left to compare.
        is_apart = link < (1 - FLATTEST) * share * (1 - share)
    return np.column_stack([total, focal]), (table.n_levels >= 2) & is_apart


def _proportional_odds(rows: _Rows, n_slopes: int) -> _Fit:
    """Maximum likelihood by Newton's method, with steps halved where needed."""
    parameters = rows.start
    value = _log_likelihood(rows, parameters)
    is_open = np.ones(value.size, dtype=np.bool_)
    is_found = np.zeros(value.size, dtype=np.bool_)
    for _ in range(STEPS):
        gradient, information = _derivatives(rows, parameters)
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        # Steps shrink quadratically: after one this small nothing is left. Where the
        # likelihood only flattens, they do not shrink.
        is_done = np.abs(step).max(axis=1) < 1e-6
        is_open &= np.isfinite(step).all(axis=1)
        step[~is_open] = 0.0
        for _ in range(HALVINGS):
            after = _log_likelihood(rows, parameters + step)
            is_worse = ~(after >= value - 1e-9 * np.abs(value))
            if not is_worse.any():
                break
            step[is_worse] /= 2
        parameters, value = parameters + step, after
        is_steep = np.abs(parameters[:, -n_slopes:]).max(axis=1) > STEEPEST
        is_found |= is_open & is_done & ~is_steep
        is_open &= ~(is_done | is_steep)
        if not is_open.any():
            break
    _, information = _derivatives(rows, parameters)
    scale = np.sqrt(np.einsum("sii->si", information))
    scaled = information / (scale[:, :, None] * scale[:, None, :])
    is_found &= np.linalg.eigvalsh(scaled)[:, 0] > FLATTEST
    variance = np.where(is_found, np.linalg.inv(scaled)[:, -1, -1], np.nan)
    return _Fit(parameters[:, -1], np.sqrt(variance) / scale[:, -1], value, is_found)


def _log_likelihood(rows: _Rows, parameters: Floats) -> Floats:
    """Log likelihood of each slice; minus infinity where cuts are out of order."""
    upper, lower = rows.distances(parameters)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The difference of two logistic functions, written so that it never cancels.
        terms = log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(lower - upper))
    return rows.add(np.where(upper > lower, terms, -np.inf))


def _derivatives(rows: _Rows, parameters: Floats) -> tuple[Floats, Floats]:
    """Gradient of the log likelihood and observed information, by slice."""
    upper, lower = rows.distances(parameters)
    with np.errstate(over="ignore"):
        narrow = 1 / np.expm1(upper - lower)
    gradient = rows.add(
        (expit(-upper) + narrow)[:, None] * rows.upper
        - (expit(lower) + narrow)[:, None] * rows.lower
    )
    between = rows.upper - rows.lower
    bend_upper, bend_lower = expit(upper) * expit(-upper), expit(lower) * expit(-lower)
    bend_between = narrow * (1 + narrow)
    information = np.empty((*parameters.shape, parameters.shape[1]))
    for column in range(parameters.shape[1]):
        # One column at a time keeps memory at the size of the rows.
        information[:, column] = rows.add(
            (bend_upper * rows.upper[:, column])[:, None] * rows.upper
            + (bend_lower * rows.lower[:, column])[:, None] * rows.lower
            + (bend_between * between[:, column])[:, None] * between
        )
    # Cuts a slice has no scores for, and a total without spread, stay where they are;
    # the last digits keep a flat likelihood solvable and leave its maximum in place.
    diagonal = np.einsum("sii->si", information)
    diagonal += np.where(diagonal == 0, 1.0, 1e-12 * diagonal)
    return gradient, information
