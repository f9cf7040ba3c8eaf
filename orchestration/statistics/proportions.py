"""Intervals of shares and of differences of shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Proportion:
    """A share, or a difference of shares, with its interval; arrays of one shape."""

    estimate: Floats
    low: Floats
    high: Floats


def wilson(passed: ArrayLike, entered: ArrayLike, *, level: float = 0.95) -> Proportion:
    """Return each pass rate with its Wilson score interval.

    Parameters
    ----------
    passed, entered : array_like of int, any shapes that broadcast
        Those who passed, and those who could have.
    level : float
        Coverage of the interval.

    Returns
    -------
    Proportion
        Shares in [0, 1]; NaN where nobody entered or a count is missing (NaN).
        The bounds are exactly 0 and 1 where nobody and where everybody passed.

    Raises
    ------
    ValueError
        If a count is negative or more passed than entered.

    References
    ----------
    Wilson (1927), JASA 22(158), 209-212.
    """
    passed, entered = _counts("passed", passed, "entered", entered)
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = passed / entered
        scale = 1 + z**2 / entered
        centre = (rate + z**2 / (2 * entered)) / scale
        half = z * np.sqrt(rate * (1 - rate) / entered + z**2 / (4 * entered**2))
        half = half / scale
    low = np.where(rate == 0, 0.0, centre - half)
    high = np.where(rate == 1, 1.0, centre + half)
    return Proportion(rate, low, high)


def clopper_pearson(
    passed: ArrayLike, entered: ArrayLike, *, level: float = 0.95
) -> Proportion:
    """Return each pass rate with its exact Clopper–Pearson interval.

    It covers at least `level` whatever the rate, so it is wider than Wilson's.

    Parameters
    ----------
    passed, entered, level
        As for `wilson`.

    Returns
    -------
    Proportion
        Shares in [0, 1]; NaN where nobody entered or a count is missing (NaN).
        The bounds are exactly 0 and 1 where nobody and where everybody passed.

    Raises
    ------
    ValueError
        If a count is negative or more passed than entered.

    References
    ----------
    Clopper & Pearson (1934), Biometrika 26(4), 404-413.
    """
    passed, entered = _counts("passed", passed, "entered", entered)
    tail = 0.5 - level / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = passed / entered
    failed = entered - passed
    low = np.where(passed > 0, betaincinv(passed, failed + 1, tail), 0.0)
    high = np.where(failed > 0, betaincinv(passed + 1, failed, 1 - tail), 1.0)
    return Proportion(
        rate,
        np.where(np.isnan(rate), np.nan, low),
        np.where(np.isnan(rate), np.nan, high),
    )


def newcombe_difference(
    passed: ArrayLike,
    entered: ArrayLike,
    *,
    other_passed: ArrayLike,
    other_entered: ArrayLike,
    level: float = 0.95,
) -> Proportion:
    """Return each difference of two independent pass rates with its hybrid interval.

    Parameters
    ----------
    passed, entered, other_passed, other_entered : array_like of int
        Counts of the two sides; any shapes that broadcast.
    level : float
        Coverage of the interval.

    Returns
    -------
    Proportion
        First rate minus the other, in [-1, 1]; NaN where either side is empty.

    Raises
    ------
    ValueError
        If a count is negative or more passed than entered.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    one = wilson(passed, entered, level=level)
    two = wilson(other_passed, other_entered, level=level)
    difference = one.estimate - two.estimate
    below = np.hypot(one.estimate - one.low, two.high - two.estimate)
    above = np.hypot(one.high - one.estimate, two.estimate - two.low)
    return Proportion(difference, difference - below, difference + above)


def _counts(
    part_name: str, part: ArrayLike, whole_name: str, whole: ArrayLike
) -> tuple[Floats, Floats]:
    """Both counts as floats of one shape, checked."""
    parts, wholes = np.broadcast_arrays(
        np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    )
    for name, counts in ((part_name, parts), (whole_name, wholes)):
        if (counts < 0).any():
            raise ValueError(f"{name} must not be negative, got {np.nanmin(counts):g}")
    above = parts > wholes
    if above.any():
        raise ValueError(
            f"{part_name} must not exceed {whole_name}, "
            f"got {parts[above][0]:g} of {wholes[above][0]:g}"
        )
    return parts, wholes
