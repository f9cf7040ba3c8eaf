"""Control over many tests: adjusted p-values, Simes, and families within families."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class FamilyWise:
    """Decisions of the two-level control, by test and by family.

    Attributes
    ----------
    q : ndarray, shape (n_tests,)
        Benjamini–Hochberg q-value inside the test's own family.
    rejected : ndarray of bool, shape (n_tests,)
        Whether the test stands after both levels.
    simes_p : ndarray, shape (n_families,)
        One p-value per family code; NaN for a family without a p-value.
    is_selected : ndarray of bool, shape (n_families,)
        Whether the family passed the first level.
    inner_level : float
        Level the tests of selected families were held to.
    """

    q: Floats
    rejected: Booleans
    simes_p: Floats
    is_selected: Booleans
    inner_level: float


def benjamini_hochberg(p: ArrayLike, family: ArrayLike | None = None) -> Floats:
    """Return the Benjamini–Hochberg q-value of each test within its family.

    Parameters
    ----------
    p : array_like, shape (n_tests,)
        P-values; NaN marks a test that was not made: its q is NaN and it does not
        count towards the size of its family.
    family : array_like of int, shape (n_tests,), optional
        Code from 0 of the family each test belongs to; one family when left out.

    Returns
    -------
    ndarray, shape (n_tests,)
        Smallest false discovery rate at which the test would be rejected.

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1] or a family code is negative.

    References
    ----------
    Benjamini & Hochberg (1995), JRSS B 57(1), 289-300.
    """
    p, family = _tests(p, family)
    made, codes, size, rank = _ranked(p, family)
    q = np.full(p.shape, np.nan)
    q[made] = _accumulated(p[made] * size / rank, codes, _lowest_above)
    return q


def holm(p: ArrayLike, family: ArrayLike | None = None) -> Floats:
    """Return the Holm-adjusted p-value of each test within its family.

    Holds the probability of any false rejection in a family, however its tests depend
    on each other.

    Parameters
    ----------
    p, family
        As for `benjamini_hochberg`.

    Returns
    -------
    ndarray, shape (n_tests,)
        Smallest family-wise level at which the test would be rejected; NaN where it
        was not made.

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1] or a family code is negative.

    References
    ----------
    Holm (1979), Scand. J. Statist. 6(2), 65-70.
    """
    p, family = _tests(p, family)
    made, codes, size, rank = _ranked(p, family)
    adjusted = np.full(p.shape, np.nan)
    adjusted[made] = _accumulated(
        p[made] * (size - rank + 1), codes, np.maximum.accumulate
    )
    return adjusted


def simes(p: ArrayLike, family: ArrayLike | None = None) -> Floats:
    """Return one p-value per family for "no test of this family is true".

    Parameters
    ----------
    p, family
        As for `benjamini_hochberg`.

    Returns
    -------
    ndarray, shape (n_families,)
        Indexed by family code; NaN for a family without a p-value.

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1] or a family code is negative.

    References
    ----------
    Simes (1986), Biometrika 73(3), 751-754.
    """
    p, family = _tests(p, family)
    return _smallest(benjamini_hochberg(p, family), family)


def family_wise(p: ArrayLike, family: ArrayLike, *, level: float = 0.05) -> FamilyWise:
    """Return which tests stand when families are chosen first and tested inside.

    Families pass when Benjamini–Hochberg over their Simes p-values passes them at
    `level`; inside the S that pass of F tested, tests stand at `level` × S / F.

    Parameters
    ----------
    p, family
        As for `benjamini_hochberg`; a family without a p-value counts for nothing.
    level : float
        Level of both stages.

    Returns
    -------
    FamilyWise
        Decisions by test and by family.

    Raises
    ------
    ValueError
        If a p-value or the level lies outside [0, 1] or a family code is negative.

    References
    ----------
    Benjamini & Bogomolov (2014), JRSS B 76(1), 297-318.
    """
    if not 0 <= level <= 1:
        raise ValueError(f"level must lie in [0, 1], got {level}")
    p, family = _tests(p, family)
    q = benjamini_hochberg(p, family)
    simes_p = _smallest(q, family)
    selected = benjamini_hochberg(simes_p) <= level
    n_tested = int(np.count_nonzero(~np.isnan(simes_p)))
    inner = level * int(selected.sum()) / n_tested if n_tested else 0.0
    rejected = np.zeros(p.shape, dtype=bool)
    if p.size:
        rejected = selected[family] & (q <= inner)
    return FamilyWise(q, rejected, simes_p, selected, inner)


def _ranked(
    p: Floats, family: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Tests made, by family and p-value: their rows, families, family sizes, ranks."""
    made = np.flatnonzero(~np.isnan(p))
    made = made[np.lexsort((p[made], family[made]))]
    codes = family[made]
    size = np.bincount(codes)
    first = np.cumsum(size) - size
    return made, codes, size[codes], np.arange(1, made.size + 1) - first[codes]


def _accumulated(
    scaled: Floats, codes: Integers, accumulate: Callable[[Integers], Integers]
) -> Floats:
    """Running extremes, at most 1, that start anew in each family.

    They run over whole ranks, which families can shift apart without rounding; shifted
    p-values would lose digits.
    """
    values, place = np.unique(np.minimum(scaled, 1.0), return_inverse=True)
    shift = codes * values.size
    return values[accumulate(place + shift) - shift]


def _lowest_above(places: Integers) -> Integers:
    """Running minimum from the end."""
    return np.minimum.accumulate(places[::-1])[::-1]


def _smallest(q: Floats, family: Integers) -> Floats:
    """Smallest q of each family: the Simes p-value."""
    lowest = np.full(int(family.max(initial=-1)) + 1, np.nan)
    np.fmin.at(lowest, family, q)
    return lowest


def _tests(p: ArrayLike, family: ArrayLike | None) -> tuple[Floats, Integers]:
    """P-values and family codes, checked."""
    values = np.asarray(p, dtype=np.float64)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(f"p must lie in [0, 1], got {outside[0]}")
    if family is None:
        return values, np.zeros(values.shape, dtype=np.int64)
    codes = np.asarray(family, dtype=np.int64)
    if codes.shape != values.shape:
        raise ValueError(
            f"family must have one code per p, got {codes.shape} for {values.shape}"
        )
    if (codes < 0).any():
        raise ValueError(f"family must not be negative, got {codes.min()}")
    return values, codes
