"""Correlation of predictors with later performance, observed and corrected."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc, ndtr, ndtri, stdtr, stdtrit

from orchestration.statistics.codes import levels
from orchestration.statistics.multiplicity import benjamini_hochberg

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Predictors whose correlations have a smaller eigenvalue explain each other: weights
# would be rounding errors.
SINGULAR = 1e-10
# Larger differences between a matrix and its transpose are no rounding.
ASYMMETRY = 1e-8


@dataclass(frozen=True)
class Correlation:
    """A correlation by group, with its interval; arrays of shape (n_groups,).

    Attributes
    ----------
    n : ndarray of int
        Pairs with both values.
    estimate, low, high : ndarray
        NaN below 3 pairs, its interval below 4, and where a side does not vary.
    """

    n: Integers
    estimate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Validity:
    """Hired-only validity beside its corrections, so that neither is shown alone.

    Attributes
    ----------
    observed : Correlation
        Among those with an outcome.
    corrected : Correlation
        For range restriction: what it would be among all applicants.
    operational : Correlation
        For range restriction and for unreliability of the criterion.
    """

    observed: Correlation
    corrected: Correlation
    operational: Correlation


@dataclass(frozen=True)
class Moments:
    """Covariances of the complete cases of each group.

    Attributes
    ----------
    n : ndarray of int, shape (n_groups,)
        Cases with every value, less the strata beyond the first.
    covariance : ndarray, shape (n_groups, n_variables, n_variables)
        With n - 1 in the denominator; NaN below two cases.
    """

    n: Integers
    covariance: Floats


@dataclass(frozen=True)
class Unrestricted:
    """Covariances and correlations as they would be among all applicants.

    Attributes
    ----------
    covariance, correlation : ndarray, shape (..., n_variables, n_variables)
        In the order of the variables given.
    """

    covariance: Floats
    correlation: Floats


@dataclass(frozen=True)
class Increments:
    """What each predictor adds to all the others.

    Attributes
    ----------
    r_squared : ndarray, shape (...)
        Of all predictors together, not adjusted for their number.
    weight : ndarray, shape (..., n_predictors)
        Standardised regression weights.
    unique_r2, low, high : ndarray, shape (..., n_predictors)
        R² lost without the predictor (its ΔR² over all the others), and the interval;
        `low` is exactly 0 where the interval holds no contribution at all.
    f, p : ndarray, shape (..., n_predictors)
        Test that it adds nothing, with 1 and n - n_predictors - 1 degrees of freedom.
    """

    r_squared: Floats
    weight: Floats
    unique_r2: Floats
    low: Floats
    high: Floats
    f: Floats
    p: Floats


@dataclass(frozen=True)
class Difference:
    """Difference of two correlations of the same people.

    Attributes
    ----------
    estimate, low, high : ndarray
        First less second, with Zou's interval.
    statistic, p : ndarray
        Test of no difference, and its two-sided p-value.
    """

    estimate: Floats
    low: Floats
    high: Floats
    statistic: Floats
    p: Floats


@dataclass(frozen=True)
class Dominance:
    """Predictors that another one of the same group outdoes.

    Attributes
    ----------
    by : ndarray of int, shape (..., n_predictors)
        The most valid of the significantly more valid predictors; -1 where there is
        none.
    q : ndarray, shape (..., n_predictors, n_predictors)
        q-value of the difference of each two; NaN on the diagonal.
    """

    by: Integers
    q: Floats


def predictive_validity(
    predictor: ArrayLike,
    outcome: ArrayLike,
    *,
    group: ArrayLike,
    stratum: ArrayLike | None = None,
    sd_ratio: ArrayLike,
    predictor_reliability: ArrayLike | None = None,
    criterion_reliability: ArrayLike = 1.0,
    n_groups: int | None = None,
    level: float = 0.95,
) -> Validity:
    """Return each group's validity among the hired and among all applicants.

    Parameters
    ----------
    predictor, outcome, group, stratum, n_groups, level
        As for `pearson`; the hired only.
    sd_ratio : array_like, scalar or shape (n_groups,)
        Standard deviation of the predictor among applicants over that among the hired,
        as from `sd_ratios`.
    predictor_reliability : array_like, scalar or shape (n_groups,), optional
        Among applicants. Given, selection is taken to have been on something else
        (Case IV); left out, on the predictor itself (Case II).
    criterion_reliability : array_like, scalar or shape (n_groups,)
        Of the outcome among the hired; 1 leaves it uncorrected.

    Returns
    -------
    Validity
        Each correction transforms the estimate and the limits of the observed one.

    Raises
    ------
    ValueError
        If a group code is negative, a ratio not above 0, or a reliability outside
        (0, 1].

    References
    ----------
    Thorndike (1949), Personnel Selection; Hunter, Schmidt & Le (2006), JAP 91(3),
    594-612.
    """
    observed = pearson(
        predictor, outcome, group=group, stratum=stratum, n_groups=n_groups, level=level
    )

    def for_selection(r: Floats) -> Floats:
        if predictor_reliability is None:
            return correct_direct(r, sd_ratio=sd_ratio)
        return correct_indirect(
            r, sd_ratio=sd_ratio, predictor_reliability=predictor_reliability
        )

    def for_both(r: Floats) -> Floats:
        return for_selection(disattenuate(r, reliability=criterion_reliability))

    return Validity(
        observed,
        _transformed(observed, for_selection),
        _transformed(observed, for_both),
    )


def pearson(
    x: ArrayLike,
    y: ArrayLike,
    *,
    group: ArrayLike,
    stratum: ArrayLike | None = None,
    n_groups: int | None = None,
    level: float = 0.95,
) -> Correlation:
    """Return each group's correlation with its Fisher z interval.

    Parameters
    ----------
    x, y : array_like, shape (n_pairs,)
        Values; a pair with a NaN is left out.
    group : array_like of int, shape (n_pairs,)
        Code from 0 of the group each pair belongs to.
    stratum : array_like of int, shape (n_pairs,), optional
        Code from 0 of a part of the group. Given, the correlation is within strata:
        each has means of its own, and each beyond the first of a group costs the
        interval a degree of freedom, as a partial correlation does.
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    Correlation
        By group; `n` counts pairs.

    Raises
    ------
    ValueError
        If a group code is negative.

    References
    ----------
    Fisher (1921), Metron 1, 3-32; Fisher (1924), Metron 3, 329-332, for means and
    other variables taken out.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    codes, size = _codes(group, n_groups)
    kept = ~(np.isnan(xs) | np.isnan(ys))
    part, lost = _parts(codes, size, stratum, kept)
    codes = codes[kept]
    n = np.bincount(codes, minlength=size)
    freedom = n - lost
    xs, ys = _centred(xs[kept], part), _centred(ys[kept], part)
    cross = np.bincount(codes, xs * ys, size)
    scale = np.bincount(codes, xs**2, size) * np.bincount(codes, ys**2, size)
    estimate = np.full(size, np.nan)
    is_known = (freedom >= 3) & (scale > 0)
    estimate[is_known] = cross[is_known] / np.sqrt(scale[is_known])
    estimate = np.clip(estimate, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.arctanh(estimate)
        error = 1 / np.sqrt(np.where(freedom > 3, freedom - 3, np.nan))
        half = float(ndtri(0.5 + level / 2)) * error
    return Correlation(n, estimate, np.tanh(middle - half), np.tanh(middle + half))


def sd_ratios(
    score: ArrayLike,
    is_hired: ArrayLike,
    *,
    group: ArrayLike,
    stratum: ArrayLike | None = None,
    n_groups: int | None = None,
) -> Floats:
    """Return the spread of all applicants' scores over that of the hired.

    Parameters
    ----------
    score : array_like, shape (n_applicants,)
        Scores; NaN is left out.
    is_hired : array_like of bool, shape (n_applicants,)
        Who makes up the restricted sample.
    group, stratum, n_groups
        As for `pearson`: within strata, of applicants as of the hired.

    Returns
    -------
    ndarray, shape (n_groups,)
        Ratio of standard deviations, above 1 when selection narrowed the scores; NaN
        with fewer than two hired or where their scores do not vary.

    Raises
    ------
    ValueError
        If a group code is negative.
    """
    scores, hired = np.asarray(score, dtype=np.float64), np.asarray(is_hired, np.bool_)
    codes, size = _codes(group, n_groups)
    kept = ~np.isnan(scores)
    applicants = _deviation(scores, codes, size, stratum, kept)
    kept &= hired
    with np.errstate(divide="ignore", invalid="ignore"):
        restricted = _deviation(scores, codes, size, stratum, kept)
        return applicants / np.where(restricted > 0, restricted, np.nan)


def correct_direct(r: ArrayLike, *, sd_ratio: ArrayLike) -> Floats:
    """Return correlations corrected for selection on the predictor itself (Case II).

    Parameters
    ----------
    r : array_like
        Correlation in the selected sample.
    sd_ratio : array_like
        Standard deviation of the predictor among applicants over the selected.

    Returns
    -------
    ndarray
        Correlation among applicants.

    Raises
    ------
    ValueError
        If a ratio is not above 0.

    References
    ----------
    Thorndike (1949), Personnel Selection, p. 173.
    """
    restricted = np.asarray(r, dtype=np.float64)
    ratio = _above("sd_ratio", sd_ratio, np.inf)
    corrected: Floats = ratio * restricted / np.sqrt(1 + (ratio**2 - 1) * restricted**2)
    return corrected


def correct_indirect(
    r: ArrayLike, *, sd_ratio: ArrayLike, predictor_reliability: ArrayLike
) -> Floats:
    """Return correlations corrected for selection on something else (Case IV).

    Selection narrows the true scores and leaves their error as it was, so the true
    scores are narrowed more than the observed ones.

    Parameters
    ----------
    r : array_like
        Correlation in the selected sample.
    sd_ratio : array_like
        Standard deviation of the predictor among applicants over the selected.
    predictor_reliability : array_like
        Reliability of the predictor among applicants.

    Returns
    -------
    ndarray
        Correlation of the observed predictor among applicants; NaN where the ratio is
        larger than the reliability allows.

    Raises
    ------
    ValueError
        If a ratio is not above 0 or a reliability not in (0, 1].

    References
    ----------
    Hunter, Schmidt & Le (2006), JAP 91(3), 594-612.
    """
    ratio = _above("sd_ratio", sd_ratio, np.inf)
    reliability = _above("predictor_reliability", predictor_reliability, 1.0)
    # Squared: true-score spread of the selected over that of the applicants.
    narrowed = (1 / ratio**2 - (1 - reliability)) / reliability
    narrowed = np.where(narrowed > 0, narrowed, np.nan)
    restricted = narrowed * reliability * ratio**2
    true_r = disattenuate(r, reliability=restricted)
    return correct_direct(true_r, sd_ratio=1 / np.sqrt(narrowed)) * np.sqrt(reliability)


def disattenuate(r: ArrayLike, *, reliability: ArrayLike) -> Floats:
    """Return correlations freed of the unreliability of one side.

    Parameters
    ----------
    r : array_like
        Correlation.
    reliability : array_like
        Of the side to be corrected, in the same sample.

    Returns
    -------
    ndarray
        r over the root of the reliability, held to [-1, 1].

    Raises
    ------
    ValueError
        If a reliability is not in (0, 1].

    References
    ----------
    Spearman (1904), Am. J. Psychology 15, 72-101.
    """
    observed = np.asarray(r, dtype=np.float64)
    root = np.sqrt(_above("reliability", reliability, 1.0))
    return np.clip(observed / root, -1.0, 1.0)


def moments(
    values: ArrayLike,
    *,
    group: ArrayLike,
    stratum: ArrayLike | None = None,
    n_groups: int | None = None,
) -> Moments:
    """Return the covariances of each group's complete cases.

    Each case with a missing value is left out of all of them. Covariances over
    whatever pairs there are come from different people and need not be those of any
    data at all.

    Parameters
    ----------
    values : array_like, shape (n_cases, n_variables)
        One column per variable, such as predictors and an outcome.
    group : array_like of int, shape (n_cases,)
        Code from 0 of the group each case belongs to.
    stratum : array_like of int, shape (n_cases,), optional
        As for `pearson`: covariances are within strata.
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.

    Returns
    -------
    Moments
        By group; a variable that does not vary has variances of exactly 0.

    Raises
    ------
    ValueError
        If `values` is not a table with one row per group code, or a code is negative.
    """
    table = np.asarray(values, dtype=np.float64)
    codes, size = _codes(group, n_groups)
    if table.ndim != 2 or table.shape[0] != codes.size:
        raise ValueError(f"values must have {codes.size} rows, got {table.shape}")
    kept = np.asarray(~np.isnan(table).any(axis=1))
    part, lost = _parts(codes, size, stratum, kept)
    codes = codes[kept]
    n = np.bincount(codes, minlength=size) - lost
    columns = [_centred(column, part) for column in table[kept].T]
    covariance = np.empty((size, len(columns), len(columns)))
    for i, one in enumerate(columns):
        for j, two in enumerate(columns[: i + 1]):
            product = np.bincount(codes, one * two, size)
            covariance[:, i, j] = covariance[:, j, i] = product
    return Moments(n, covariance / np.where(n > 1, n - 1, np.nan)[:, None, None])


def correct_multivariate(
    restricted: ArrayLike,
    unrestricted: ArrayLike,
    *,
    selected: ArrayLike | None = None,
) -> Unrestricted:
    """Return covariances corrected for selection on several variables at once.

    Variables that people were hired on correlate falsely low, even negatively, among
    the hired. The regression on them is taken to be the same before and after.

    Parameters
    ----------
    restricted : array_like, shape (..., n_variables, n_variables)
        Covariances among the selected, of the variables selected on and others.
    unrestricted : array_like, shape (..., n_selected, n_selected)
        Covariances among all applicants of the variables selected on.
    selected : array_like of int, shape (n_selected,), optional
        Places of those variables in `restricted`; the first ones when left out.

    Returns
    -------
    Unrestricted
        NaN where a covariance is missing or the variables selected on explain each
        other among the selected.

    Raises
    ------
    ValueError
        If a matrix is not square and symmetric or the places do not fit.

    References
    ----------
    Lawley (1943), Proc. R. Soc. Edinburgh A 62, 28-30; Lord & Novick (1968),
    Statistical Theories of Mental Test Scores, ch. 6.
    """
    observed = _matrices("restricted", restricted)
    known = _matrices("unrestricted", unrestricted)
    size = observed.shape[-1]
    chosen = _places(selected, known.shape[-1], size)
    rest = np.setdiff1d(np.arange(size), chosen)
    within = observed[..., chosen[:, None], chosen]
    weights = _inverse(within) @ observed[..., chosen[:, None], rest]
    across = known @ weights
    leading = across.shape[:-2]
    covariance = np.empty((*leading, size, size))
    covariance[..., chosen[:, None], chosen] = known
    covariance[..., chosen[:, None], rest] = across
    covariance[..., rest[:, None], chosen] = np.swapaxes(across, -1, -2)
    gained = np.swapaxes(weights, -1, -2) @ (known - within) @ weights
    covariance[..., rest[:, None], rest] = observed[..., rest[:, None], rest] + gained
    return Unrestricted(covariance, _standardised(covariance))


def multivariate_validity(
    restricted: ArrayLike,
    n: ArrayLike,
    *,
    unrestricted: ArrayLike,
    level: float = 0.95,
) -> Correlation:
    """Return the validity of each predictor selected on, among all applicants.

    A validity is that of the ratio of two parts of the outcome: what goes with the
    predictor, and the spread of what does not. The interval is Fieller's of this ratio,
    with Student's t of the regression's n - n_predictors - 1 degrees of freedom: exact
    where nothing goes with the predictor, and a delta method only for the spread. It
    needs what the correction needs (a straight line and even scatter), and no normal
    predictors, which selection has cut. The covariances of the applicants are taken as
    known: they are many.

    Parameters
    ----------
    restricted : array_like, shape (..., n_predictors + 1, n_predictors + 1)
        Covariances among the selected, as from `moments`; the outcome comes last.
    n : array_like of int, shape (...)
        Complete cases behind them.
    unrestricted : array_like, shape (..., n_predictors, n_predictors)
        Covariances of the predictors among all applicants.
    level : float
        Coverage of the interval.

    Returns
    -------
    Correlation
        Arrays of shape (..., n_predictors); NaN without a degree of freedom left. The
        limits are -1 and 1 where the spread may be anything, as below four degrees of
        freedom, and NaN where no spread is left.

    Raises
    ------
    ValueError
        If a matrix is not square and symmetric, sizes do not fit, there is no
        predictor, or `n` is negative.

    References
    ----------
    Lawley (1943), Proc. R. Soc. Edinburgh A 62, 28-30; Fieller (1954), JRSS B 16(2),
    175-185.
    """
    observed = _matrices("restricted", restricted, 2)
    known = _matrices("unrestricted", unrestricted)
    size = observed.shape[-1] - 1
    if known.shape[-1] != size:
        raise ValueError(f"unrestricted must have {size} rows, got {known.shape[-1]}")
    cases = _sizes(n)
    freedom = np.where(cases > size + 1, cases - size - 1, np.nan)
    inverse = _inverse(observed[..., :-1, :-1])
    cross = observed[..., :-1, -1]
    weights = (inverse @ cross[..., None])[..., 0]
    residual = observed[..., -1, -1] - (weights * cross).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        across = (known @ weights[..., None])[..., 0]
        variance = residual + (weights * across).sum(axis=-1)
        spread = np.sqrt(np.diagonal(known, axis1=-2, axis2=-1))
        scale = spread * np.sqrt(variance)[..., None]
        estimate = np.clip(across / scale, -1.0, 1.0)
        estimate = np.where(np.isnan(freedom)[..., None], np.nan, estimate)
        noise = residual * (cases - 1) / freedom
        low, high = _ratio_limits(
            weights,
            known / spread[..., :, None],
            known,
            error=inverse * (noise / (cases - 1))[..., None, None],
            noise=noise,
            freedom=freedom,
            level=level,
        )
    is_known = ~np.isnan(estimate)
    low, high = (np.where(is_known, end, np.nan) for end in (low, high))
    counts = np.broadcast_to(cases[..., None], estimate.shape).astype(np.int64)
    return Correlation(counts, estimate, low, high)


def increments(matrix: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> Increments:
    """Return what each predictor adds to the R² of all the others.

    The interval is the delta method on Fisher's scale of the signed semipartial
    correlation, squared after: on the scale of R² the method fails where it matters, at
    no contribution, and a bootstrap of R² never reaches it. The R² is that of the cases
    given; among the hired, predictors are cut by selection.

    Parameters
    ----------
    matrix : array_like, shape (..., n_predictors + 1, n_predictors + 1)
        Covariances or correlations of complete cases, as from `moments`; the outcome
        comes last. Matrices over pairs of whoever is there are not for this.
    n : array_like of int, shape (...)
        Complete cases behind them.
    level : float
        Coverage of the interval.

    Returns
    -------
    Increments
        NaN without a degree of freedom left, where a variable does not vary, where
        predictors explain each other, or where no data could have the matrix.

    Raises
    ------
    ValueError
        If a matrix is not square and symmetric, has no predictor, or `n` is negative.

    References
    ----------
    Cohen, Cohen, West & Aiken (2003), Applied Multiple Regression, ch. 3; Alf &
    Graf (1999), Psychological Methods 4(1), 70-75; Aloe & Becker (2012), JEBS 37(2),
    278-297, with n - 3 as in Bonett's statpsych.
    """
    correlation = _standardised(_matrices("matrix", matrix, 2))
    cases = _sizes(n)[..., None]
    size = correlation.shape[-1] - 1
    freedom = np.where(cases > size + 1, cases - size - 1, np.nan)
    inverse = _inverse(correlation[..., :-1, :-1])
    simple = correlation[..., :-1, -1]
    weight = (inverse @ simple[..., None])[..., 0] + 0 * freedom
    full = (weight * simple).sum(axis=-1, keepdims=True)
    full = np.where(full > 1 + SINGULAR, np.nan, np.minimum(full, 1.0))
    weight = weight + 0 * full
    with np.errstate(divide="ignore", invalid="ignore"):
        part = weight / np.sqrt(np.diagonal(inverse, axis1=-2, axis2=-1))
        f = part**2 * freedom / (1 - full)
        others = full - part**2
        variance = ((1 - full) ** 2 + others * (1 - others)) / (cases - 3)
        error = np.sqrt(variance) / (1 - part**2)
        low, high = _fisher(part, error, level)
    is_none = (low <= 0) & (high >= 0)
    limits = np.sort(np.stack([low**2, high**2]), axis=0)
    return Increments(
        r_squared=full[..., 0],
        weight=weight,
        unique_r2=part**2,
        low=np.where(is_none, 0.0, limits[0]),
        high=limits[1],
        f=f,
        p=fdtrc(1.0, freedom, f),
    )


def williams_t(
    r_jk: ArrayLike,
    r_jh: ArrayLike,
    *,
    r_kh: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
) -> Difference:
    """Return the difference of two correlations that share variable j.

    Parameters
    ----------
    r_jk, r_jh, r_kh : array_like, shapes that broadcast
        The two compared, such as validities of rounds k and h for one outcome j, and
        the one between k and h; all from the same complete cases.
    n : array_like of int
        Number of cases.
    level : float
        Coverage of the interval.

    Returns
    -------
    Difference
        `statistic` is Williams' t with n - 3 degrees of freedom; NaN below 4 cases.

    Raises
    ------
    ValueError
        If a correlation lies outside [-1, 1] or `n` is negative.

    References
    ----------
    Williams (1959), JRSS B 21(2), 396-399; Steiger (1980), Psychological Bulletin
    87(2), 245-251, formula 7; interval: Zou (2007), Psychological Methods 12(4),
    399-413.
    """
    one, two, between = _correlations(r_jk, r_jh, r_kh)
    cases = _sizes(n)
    freedom = np.where(cases > 3, cases - 3, np.nan)
    determinant = 1 - one**2 - two**2 - between**2 + 2 * one * two * between
    mean = (one + two) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 2 * (cases - 1) / freedom * determinant + mean**2 * (1 - between) ** 3
        t = (one - two) * np.sqrt((cases - 1) * (1 + between) / scale)
    p = np.minimum(2 * stdtr(freedom, -np.abs(t)), 1.0)
    return _difference(one, two, _overlap(one, two, between), cases, t, p, level)


def meng_z(
    r_jk: ArrayLike,
    r_jh: ArrayLike,
    *,
    r_kh: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
) -> Difference:
    """Return the difference of two correlations that share variable j, on Fisher's z.

    Parameters
    ----------
    r_jk, r_jh, r_kh, n, level
        As for `williams_t`.

    Returns
    -------
    Difference
        `statistic` is the normal deviate of Meng, Rosenthal and Rubin.

    Raises
    ------
    ValueError
        If a correlation lies outside [-1, 1] or `n` is negative.

    References
    ----------
    Meng, Rosenthal & Rubin (1992), Psychological Bulletin 111(1), 172-175; interval as
    for `williams_t`.
    """
    one, two, between = _correlations(r_jk, r_jh, r_kh)
    cases = _sizes(n)
    freedom = np.where(cases > 3, cases - 3, np.nan)
    square = (one**2 + two**2) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.minimum((1 - between) / (2 * (1 - square)), 1.0)
        spread = 2 * (1 - between) * (1 - factor * square) / (1 - square)
        z = (np.arctanh(one) - np.arctanh(two)) * np.sqrt(freedom / spread)
    p = 2 * ndtr(-np.abs(z))
    return _difference(one, two, _overlap(one, two, between), cases, z, p, level)


def steiger_z(
    r_jk: ArrayLike,
    r_hm: ArrayLike,
    *,
    r_jh: ArrayLike,
    r_jm: ArrayLike,
    r_kh: ArrayLike,
    r_km: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
) -> Difference:
    """Return the difference of two correlations without a variable in common.

    Parameters
    ----------
    r_jk, r_hm : array_like, shapes that broadcast
        The two compared.
    r_jh, r_jm, r_kh, r_km : array_like
        Those between their variables; all from the same complete cases.
    n, level
        As for `williams_t`.

    Returns
    -------
    Difference
        `statistic` is Steiger's normal deviate with the two pooled; NaN below 4 cases.

    Raises
    ------
    ValueError
        If a correlation lies outside [-1, 1] or `n` is negative.

    References
    ----------
    Steiger (1980), Psychological Bulletin 87(2), 245-251, formula 15; interval: Zou
    (2007), Psychological Methods 12(4), 399-413.
    """
    one, two, *between = _correlations(r_jk, r_hm, r_jh, r_jm, r_kh, r_km)
    cases = _sizes(n)
    freedom = np.where(cases > 3, cases - 3, np.nan)
    mean = (one + two) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = 2 - 2 * _no_overlap(mean, mean, *between)
        z = (np.arctanh(one) - np.arctanh(two)) * np.sqrt(freedom / spread)
    p = 2 * ndtr(-np.abs(z))
    return _difference(one, two, _no_overlap(one, two, *between), cases, z, p, level)


def dominated_by(matrix: ArrayLike, n: ArrayLike, *, level: float = 0.05) -> Dominance:
    """Return for each predictor the one that is significantly more valid.

    Each two predictors of a group are compared by Williams' t; the group's tests are
    one Benjamini–Hochberg family. More valid means a higher correlation among the cases
    given, sign and all, so outcomes must rise with performance.

    Parameters
    ----------
    matrix : array_like, shape (..., n_predictors + 1, n_predictors + 1)
        Covariances or correlations of complete cases, as from `moments`; the outcome
        comes last.
    n : array_like of int, shape (...)
        Complete cases behind them.
    level : float
        False discovery rate up to which a difference stands.

    Returns
    -------
    Dominance
        -1 throughout a group that cannot be tested.

    Raises
    ------
    ValueError
        If a matrix is not square and symmetric, has no predictor, or `n` is negative.

    References
    ----------
    As for `williams_t` and `benjamini_hochberg`.
    """
    correlation = _standardised(_matrices("matrix", matrix, 2))
    size = correlation.shape[-1] - 1
    validity = correlation[..., :-1, -1]
    i, j = np.triu_indices(size, 1)
    p = williams_t(
        validity[..., i],
        validity[..., j],
        r_kh=correlation[..., i, j],
        n=_sizes(n)[..., None],
    ).p
    family = np.repeat(np.arange(p.size // max(i.size, 1)), i.size)
    q = np.full((*p.shape[:-1], size, size), np.nan)
    q[..., i, j] = benjamini_hochberg(p.ravel(), family).reshape(p.shape)
    q[..., j, i] = q[..., i, j]
    others = np.broadcast_to(validity[..., None, :], q.shape)
    is_better = (q <= level) & (others > validity[..., :, None])
    best = np.where(is_better, others, -np.inf).argmax(axis=-1)
    return Dominance(np.where(is_better.any(axis=-1), best, -1), q)


def _ratio_limits(
    weights: Floats,
    standard: Floats,
    known: Floats,
    *,
    error: Floats,
    noise: Floats,
    freedom: Floats,
    level: float,
) -> tuple[Floats, Floats]:
    """Fieller's limits of validities, as ratios of what goes with each predictor.

    `standard` has the predictors' covariances by standard deviation of each, in rows;
    `error` holds the covariances of the weights, `noise` is the residual variance.
    """
    across = (known @ weights[..., None])[..., 0]
    part = (standard @ weights[..., None])[..., 0]
    explained = (weights * across).sum(axis=-1)[..., None]
    rest = np.sqrt(noise[..., None] + np.maximum(explained - part**2, 0.0))
    slope = (across[..., None, :] - part[..., None] * standard) / rest[..., None]
    of_part = ((standard @ error) * standard).sum(axis=-1)
    of_rest = ((slope @ error) * slope).sum(axis=-1)
    of_rest = of_rest + (noise**2 / (2 * freedom))[..., None] / rest**2
    joint = ((standard @ error) * slope).sum(axis=-1)
    square = stdtrit(freedom, 0.5 + level / 2)[..., None] ** 2
    a, b = rest**2 - square * of_rest, part * rest - square * joint
    root = np.sqrt(np.maximum(b**2 - a * (part**2 - square * of_part), 0.0))
    is_open = (a <= 0) & (rest > 0)
    ends = []
    for sign in (-1.0, 1.0):
        # Of the sine whose tangent is the ratio.
        end = (b + sign * root) / np.hypot(a, b + sign * root)
        ends.append(np.where(is_open, sign, end))
    return ends[0], ends[1]


def _transformed(
    observed: Correlation, correction: Callable[[Floats], Floats]
) -> Correlation:
    """The correlation and its limits, each corrected."""
    return Correlation(
        observed.n,
        correction(observed.estimate),
        correction(observed.low),
        correction(observed.high),
    )


def _difference(
    one: Floats,
    two: Floats,
    overlap: Floats,
    cases: Floats,
    statistic: Floats,
    p: Floats,
    level: float,
) -> Difference:
    """The difference with Zou's interval; `overlap` correlates the two estimates."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = 1 / np.sqrt(np.where(cases > 3, cases - 3, np.nan))
        one_low, one_high = _fisher(one, error, level)
        two_low, two_high = _fisher(two, error, level)
    below = _hypotenuse(one - one_low, two_high - two, overlap)
    above = _hypotenuse(one_high - one, two - two_low, overlap)
    estimate = one - two
    return Difference(estimate, estimate - below, estimate + above, statistic, p)


def _hypotenuse(a: Floats, b: Floats, overlap: Floats) -> Floats:
    """Length of the difference of two deviations that correlate."""
    return np.sqrt(np.maximum(a**2 + b**2 - 2 * overlap * a * b, 0.0))


def _overlap(r_jk: Floats, r_jh: Floats, r_kh: Floats) -> Floats:
    """Correlation of two sample correlations that share a variable."""
    rest = 1 - r_jk**2 - r_jh**2 - r_kh**2
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = (r_kh - r_jk * r_jh / 2) * rest + r_kh**3
        overlap: Floats = joint / ((1 - r_jk**2) * (1 - r_jh**2))
    return overlap


def _no_overlap(
    r_jk: Floats, r_hm: Floats, r_jh: Floats, r_jm: Floats, r_kh: Floats, r_km: Floats
) -> Floats:
    """Correlation of two sample correlations that share no variable."""
    joint = (
        r_jk * r_hm * (r_jh**2 + r_jm**2 + r_kh**2 + r_km**2) / 2
        + (r_jh * r_km + r_jm * r_kh)
        - r_jk * (r_jh * r_jm + r_kh * r_km)
        - r_hm * (r_jh * r_kh + r_jm * r_km)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap: Floats = joint / ((1 - r_jk**2) * (1 - r_hm**2))
    return overlap


def _fisher(r: Floats, error: Floats, level: float) -> tuple[Floats, Floats]:
    """Limits of correlations whose standard error on Fisher's scale is known."""
    half = float(ndtri(0.5 + level / 2)) * error
    middle = np.arctanh(r)
    return np.tanh(middle - half), np.tanh(middle + half)


def _standardised(covariance: Floats) -> Floats:
    """Correlations; NaN for a variable that does not vary."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    spread = np.sqrt(np.where(variance > 0, variance, np.nan))
    return np.clip(covariance / (spread[..., :, None] * spread[..., None, :]), -1, 1)


def _inverse(covariance: Floats) -> Floats:
    """Inverses; NaN where a matrix is singular or has a missing value."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    correlation = _standardised(covariance)
    is_known = np.isfinite(correlation).all(axis=(-2, -1), keepdims=True)
    identity = np.eye(covariance.shape[-1])
    values = np.linalg.eigvalsh(np.where(is_known, correlation, identity))
    is_regular = is_known & (values[..., :1, None] > SINGULAR)
    inverse = np.linalg.inv(np.where(is_regular, correlation, identity))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(variance[..., :, None] * variance[..., None, :])
        return np.where(is_regular, inverse / scale, np.nan)


def _matrices(name: str, values: ArrayLike, least: int = 1) -> Floats:
    """Matrices as floats, each square, of `least` rows and symmetric; NaN passes."""
    floats = np.asarray(values, dtype=np.float64)
    if floats.ndim < 2 or floats.shape[-1] != floats.shape[-2]:
        raise ValueError(f"{name} must be square, got shape {floats.shape}")
    if floats.shape[-1] < least:
        raise ValueError(f"{name} must have {least} rows, got shape {floats.shape}")
    if not floats.size:
        return floats
    largest = np.abs(floats).max(axis=(-2, -1), keepdims=True)
    apart = np.abs(floats - np.swapaxes(floats, -1, -2))
    if (apart > ASYMMETRY * largest).any():
        raise ValueError(f"{name} must be symmetric, got {np.nanmax(apart):g} apart")
    return floats


def _places(selected: ArrayLike | None, count: int, size: int) -> Integers:
    """Places of the variables selected on, checked."""
    chosen = np.arange(count) if selected is None else np.asarray(selected)
    is_fitting = chosen.shape == (count,) and np.unique(chosen).size == count
    if not is_fitting or not np.isin(chosen, np.arange(size)).all():
        raise ValueError(
            f"selected must be {count} different places below {size}, got {chosen}"
        )
    return chosen.astype(np.int64)


def _sizes(n: ArrayLike) -> Floats:
    """Numbers of cases as floats, checked."""
    cases = np.asarray(n, dtype=np.float64)
    if (cases < 0).any():
        raise ValueError(f"n must not be negative, got {cases.min():g}")
    return cases


def _correlations(*values: ArrayLike) -> list[Floats]:
    """Correlations of one shape, checked."""
    floats = [np.asarray(r, dtype=np.float64) for r in values]
    for r in floats:
        outside = r[np.abs(r) > 1]
        if outside.size:
            raise ValueError(f"r must lie in [-1, 1], got {outside[0]:g}")
    return list(np.broadcast_arrays(*floats))


def _parts(
    codes: Integers, size: int, stratum: ArrayLike | None, kept: NDArray[np.bool_]
) -> tuple[Integers, Integers]:
    """Codes of the strata of the kept cases, and the strata beyond the first by group.

    Without strata a group is one.
    """
    codes = codes[kept]
    if stratum is None:
        return codes, np.zeros(size, np.int64)
    fine = np.asarray(stratum, dtype=np.int64)[kept]
    n_strata = int(fine.max(initial=0)) + 1
    pairs, part = levels(codes * n_strata + fine)
    return part, np.maximum(np.bincount(pairs // n_strata, minlength=size) - 1, 0)


def _centred(values: Floats, codes: Integers) -> Floats:
    """Values less their group's mean; exactly 0 throughout a group that is constant."""
    n = np.bincount(codes)
    first = np.zeros(n.size)
    first[codes[::-1]] = values[::-1]
    shifted = values - first[codes]
    mean = np.bincount(codes, shifted, n.size) / np.maximum(n, 1)
    return shifted - mean[codes]


def _deviation(
    values: Floats,
    codes: Integers,
    size: int,
    stratum: ArrayLike | None,
    kept: NDArray[np.bool_],
) -> Floats:
    """Standard deviation of the kept of each group; NaN below two of one mean."""
    part, lost = _parts(codes, size, stratum, kept)
    freedom = np.bincount(codes[kept], minlength=size) - 1 - lost
    squares = np.bincount(codes[kept], _centred(values[kept], part) ** 2, size)
    return np.sqrt(squares / np.where(freedom > 0, freedom, np.nan))


def _codes(group: ArrayLike, n_groups: int | None) -> tuple[Integers, int]:
    """Group codes and the number of groups, checked."""
    codes = np.asarray(group)
    if (codes < 0).any():
        raise ValueError(f"group must not be negative, got {codes.min()}")
    size = int(codes.max(initial=-1)) + 1 if n_groups is None else n_groups
    if (codes >= size).any():
        raise ValueError(f"group must be below {size}, got {codes.max()}")
    return codes.astype(np.int64), size


def _above(name: str, values: ArrayLike, most: float) -> Floats:
    """Values as floats, each above 0 and not above `most`; NaN passes."""
    floats = np.asarray(values, dtype=np.float64)
    wrong = floats[(floats <= 0) | (floats > most)]
    if wrong.size:
        raise ValueError(f"{name} must lie in (0, {most:g}], got {wrong[0]:g}")
    return floats
