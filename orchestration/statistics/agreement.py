"""Agreement of raters on the same candidates, vectorised over groups of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_distribution

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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
        Reliability of a single rating and its interval; may be negative; NaN where
        there are fewer than two candidates, no repeated rating or no spread.
    """

    n: Integers
    n_multi: Integers
    n_ratings: Integers
    k_effective: Floats
    estimate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Coincidences:
    """Ratings by level, and pairs of ratings by two levels, of every candidate.

    Attributes
    ----------
    group : ndarray of int, shape (n_units,)
        Group of each unit (a candidate in a group), ascending.
    counts : ndarray, shape (n_units, n_levels)
        Ratings by level.
    pairs : ndarray, shape (n_units, n_levels, n_levels)
        Ordered pairs of ratings by different raters, each divided by the number of
        ratings less one, so that a unit weighs as many ratings as it has. Zero for
        units with one rating.
    n_groups : int
        Number of groups.
    """

    group: Integers
    counts: Floats
    pairs: Floats
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
class CompleteBlock:
    """The six intraclass correlations of a table without gaps."""

    icc_1: float
    icc_a1: float
    icc_c1: float
    icc_1k: float
    icc_ak: float
    icc_ck: float


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

    References
    ----------
    Shrout & Fleiss (1979), Psychol. Bull. 86(2), 420-428; Searle (1971), Linear
    Models, 473-474, for k0.
    """
    x, units, groups = np.asarray(value, float), np.asarray(unit), np.asarray(group)
    _same_length(x, units, groups)
    unit_group, codes = _units(units, groups)
    k = np.bincount(codes, minlength=unit_group.size).astype(float)
    shift = _divide(
        np.bincount(groups, x, n_groups), np.bincount(groups, minlength=n_groups)
    )
    centred = x - shift[groups]
    total = np.bincount(codes, centred, unit_group.size)

    def summed(values: ArrayLike) -> Floats:
        weights = np.asarray(values, dtype=np.float64)
        sums: Floats = np.bincount(unit_group, weights, n_groups).astype(np.float64)
        return sums

    n, n_ratings = summed(np.ones_like(k)), summed(k)
    between = summed(_divide(total**2, k)) - _divide(summed(total) ** 2, n_ratings)
    within = np.bincount(groups, centred**2, n_groups) - summed(_divide(total**2, k))
    within = np.where(within < 1e-12 * np.maximum(between, 1.0), 0.0, within)
    ms_between = _divide(between, n - 1)
    ms_within = _divide(within, n_ratings - n)
    k0 = _divide(n_ratings - _divide(summed(k**2), n_ratings), n - 1)
    estimate = _divide(ms_between - ms_within, ms_between + (k0 - 1) * ms_within)
    ratio = _divide(ms_between, ms_within)
    tail = 0.5 - level / 2
    bounds = []
    for quantile in (1 - tail, tail):
        # No spread within candidates: both bounds are the estimate, 1.
        f_value = ratio / f_distribution.ppf(quantile, n - 1, n_ratings - n)
        bound = _divide(f_value - 1, f_value + k0 - 1)
        bounds.append(np.where((ms_within == 0) & (ms_between > 0), 1.0, bound))
    return OneWay(
        n=n.astype(np.int64),
        n_multi=summed((k > 1).astype(float)).astype(np.int64),
        n_ratings=n_ratings.astype(np.int64),
        k_effective=k0,
        estimate=np.where(n_ratings > n, estimate, np.nan),
        low=bounds[0],
        high=bounds[1],
    )


def coincidences(
    level: ArrayLike,
    unit: ArrayLike,
    group: ArrayLike,
    *,
    n_levels: int,
    n_groups: int,
) -> Coincidences:
    """Return pairs of levels by candidate, from which agreement follows.

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
        If a level lies outside 0 to `n_levels` - 1, or lengths differ.
    """
    levels, units, groups = (np.asarray(part) for part in (level, unit, group))
    _same_length(levels, units, groups)
    if levels.size and (levels.min() < 0 or levels.max() >= n_levels):
        raise ValueError(
            f"levels must lie in 0 to {n_levels - 1},"
            f" got {levels.min()} to {levels.max()}"
        )
    unit_group, codes = _units(units, groups)
    counts: Floats = np.bincount(
        codes * n_levels + levels, minlength=unit_group.size * n_levels
    ).reshape(unit_group.size, n_levels) * np.float64(1)
    return Coincidences(unit_group, counts, _paired(counts), n_groups)


def agreement(pairs: Coincidences) -> Agreement:
    """Return the agreement of each group, shape (n_groups,).

    References
    ----------
    Krippendorff (2019), Content Analysis, 4th ed., 12.3; the ordinal difference is the
    squared number of ranks between two levels.
    """
    n_levels = pairs.counts.shape[1]
    total = np.zeros((pairs.n_groups, n_levels, n_levels))
    np.add.at(total, pairs.group, pairs.pairs)
    return _agreement(total)


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
    q = np.asarray(n_levels, dtype=float)
    place = np.arange(pairs.counts.shape[1], dtype=float)
    size = pairs.counts.sum(axis=1)
    squared = (place[:, None] - place[None, :]) ** 2
    gap = (pairs.pairs * squared).sum(axis=(1, 2)) / np.maximum(size, 1)
    several = size > 1
    shares = pairs.counts / np.maximum(size, 1)[:, None]
    n = np.bincount(pairs.group, minlength=pairs.n_groups).astype(float)
    prevalence = np.zeros((pairs.n_groups, place.size))
    np.add.at(prevalence, pairs.group, shares)
    prevalence = _divide(prevalence, n[:, None])
    scale = (q - 1) ** 2
    n_several = np.bincount(pairs.group[several], minlength=pairs.n_groups)
    observed = 1 - _divide(
        _divide(
            np.bincount(pairs.group[several], gap[several], pairs.n_groups), n_several
        ),
        scale,
    )
    # Sum of all quadratic weights of a q by q table.
    weights = q**2 - _divide(q**2 * (q**2 - 1) / 6, scale)
    chance = _divide(weights, q * (q - 1)) * (prevalence * (1 - prevalence)).sum(axis=1)
    return _divide(observed - chance, 1 - chance)


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
    x = np.asarray(table, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"a complete block has two rows and columns or more, got {x.shape}"
        )
    n, k = x.shape
    mean = x.mean()
    rows = k * ((x.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    columns = n * ((x.mean(axis=0) - mean) ** 2).sum() / (k - 1)
    total = ((x - mean) ** 2).sum()
    error = (total - rows * (n - 1) - columns * (k - 1)) / ((n - 1) * (k - 1))
    within = (total - rows * (n - 1)) / (n * (k - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return CompleteBlock(
            icc_1=float((rows - within) / (rows + (k - 1) * within)),
            icc_a1=float(
                (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
            ),
            icc_c1=float((rows - error) / (rows + (k - 1) * error)),
            icc_1k=float((rows - within) / rows),
            icc_ak=float((rows - error) / (rows + (columns - error) / n)),
            icc_ck=float((rows - error) / rows),
        )


def _agreement(total: Floats) -> Agreement:
    """Agreement from summed coincidences, shape (..., n_levels, n_levels)."""
    place = np.arange(total.shape[-1], dtype=float)
    gap = np.abs(place[:, None] - place[None, :])
    marginal = total.sum(axis=-1)
    n = marginal.sum(axis=-1)
    cumulated = np.cumsum(marginal, axis=-1)
    middle = cumulated - marginal / 2
    ranks = (middle[..., :, None] - middle[..., None, :]) ** 2
    expected = marginal[..., :, None] * marginal[..., None, :]

    def alpha(difference: Floats) -> Floats:
        observed = (total * difference).sum(axis=(-1, -2))
        by_chance = (expected * difference).sum(axis=(-1, -2))
        return 1 - (n - 1) * _divide(observed, by_chance)

    def share(kept: Floats) -> Floats:
        return _divide((total * kept).sum(axis=(-1, -2)), n)

    return Agreement(
        alpha_nominal=alpha((gap > 0).astype(float)),
        alpha_ordinal=alpha(ranks),
        alpha_interval=alpha(gap**2),
        exact=share((gap == 0).astype(float)),
        within_one=share((gap <= 1).astype(float)),
        mean_difference=share(gap),
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


def _units(unit: Integers, group: Integers) -> tuple[Integers, Integers]:
    """Group of each unit, ascending, and the unit of each rating."""
    if not unit.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    width = int(unit.max()) + 1
    keys, codes = np.unique(group.astype(np.int64) * width + unit, return_inverse=True)
    return keys // width, codes


def _same_length(*columns: NDArray[np.generic]) -> None:
    sizes = {column.shape for column in columns}
    if len(sizes) > 1:
        raise ValueError(f"ratings, units and groups differ in length: {sizes}")


def _divide(top: ArrayLike, bottom: ArrayLike) -> Floats:
    """The quotient; NaN instead of a division by zero."""
    a, b = np.asarray(top, dtype=float), np.asarray(bottom, dtype=float)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)
