"""Correlation of a predictor with later performance, observed and corrected."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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


def predictive_validity(
    predictor: ArrayLike,
    outcome: ArrayLike,
    *,
    group: ArrayLike,
    sd_ratio: ArrayLike,
    predictor_reliability: ArrayLike | None = None,
    criterion_reliability: ArrayLike = 1.0,
    n_groups: int | None = None,
    level: float = 0.95,
) -> Validity:
    """Return each group's validity among the hired and among all applicants.

    Parameters
    ----------
    predictor, outcome, group, n_groups, level
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
    observed = pearson(predictor, outcome, group=group, n_groups=n_groups, level=level)

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
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    Correlation
        By group.

    Raises
    ------
    ValueError
        If a group code is negative.

    References
    ----------
    Fisher (1921), Metron 1, 3-32.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    codes, size = _codes(group, n_groups)
    kept = ~(np.isnan(xs) | np.isnan(ys))
    codes = codes[kept]
    n = np.bincount(codes, minlength=size)
    xs, ys = _centred(xs[kept], codes, n), _centred(ys[kept], codes, n)
    cross = np.bincount(codes, xs * ys, size)
    scale = np.bincount(codes, xs**2, size) * np.bincount(codes, ys**2, size)
    estimate = np.full(size, np.nan)
    is_known = (n >= 3) & (scale > 0)
    estimate[is_known] = cross[is_known] / np.sqrt(scale[is_known])
    estimate = np.clip(estimate, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.arctanh(estimate)
        half = float(ndtri(0.5 + level / 2)) / np.sqrt(np.where(n > 3, n - 3, np.nan))
    return Correlation(n, estimate, np.tanh(middle - half), np.tanh(middle + half))


def sd_ratios(
    score: ArrayLike,
    is_hired: ArrayLike,
    *,
    group: ArrayLike,
    n_groups: int | None = None,
) -> Floats:
    """Return the spread of all applicants' scores over that of the hired.

    Parameters
    ----------
    score : array_like, shape (n_applicants,)
        Scores; NaN is left out.
    is_hired : array_like of bool, shape (n_applicants,)
        Who makes up the restricted sample.
    group, n_groups
        As for `pearson`.

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
    applicants = _deviation(scores[kept], codes[kept], size)
    kept &= hired
    with np.errstate(divide="ignore", invalid="ignore"):
        restricted = _deviation(scores[kept], codes[kept], size)
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


def _centred(values: Floats, codes: Integers, n: Integers) -> Floats:
    """Values less their group's mean; exactly 0 throughout a group that is constant."""
    first = np.zeros(n.size)
    first[codes[::-1]] = values[::-1]
    shifted = values - first[codes]
    mean = np.bincount(codes, shifted, n.size) / np.maximum(n, 1)
    return shifted - mean[codes]


def _deviation(values: Floats, codes: Integers, size: int) -> Floats:
    """Standard deviation of each group; NaN below two values."""
    n = np.bincount(codes, minlength=size)
    squares = np.bincount(codes, _centred(values, codes, n) ** 2, size)
    return np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


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
