"""Distinct codes, faster than by sorting where codes are dense or in order already."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]


def distinct(code: Integers) -> Integers:
    """Return the different codes in ascending order.

    `numpy.unique` looks for them by hashing, which takes ten times a sort of integers.

    Parameters
    ----------
    code : ndarray of int, shape (n,)
        Any codes.

    Returns
    -------
    ndarray of int
        Each code once.
    """
    ordered = code if (code[1:] >= code[:-1]).all() else np.sort(code)
    return ordered[_is_first(ordered)]


def levels(code: ArrayLike) -> tuple[NDArray[Any], Integers]:
    """Return the different codes in ascending order, and which of them each entry is.

    Parameters
    ----------
    code : array_like, shape (n,)
        Codes; any that can be sorted.

    Returns
    -------
    ndarray, ndarray of int of shape (n,)
        As of `numpy.unique` with its inverse.
    """
    given = np.asarray(code)
    if given.dtype.kind != "i" or given.ndim != 1 or not given.size:
        return _sorted_out(given)
    given = given.astype(np.int64, copy=False)
    if (given[1:] >= given[:-1]).all():
        is_first = _is_first(given)
        return given[is_first], np.cumsum(is_first) - 1
    low, high = int(given.min()), int(given.max())
    if high - low > 4 * given.size:
        return _sorted_out(given)
    is_used = np.zeros(high - low + 1, dtype=np.bool_)
    is_used[given - low] = True
    values = np.flatnonzero(is_used) + low
    return values, (np.cumsum(is_used) - 1)[given - low]


def _sorted_out(given: NDArray[Any]) -> tuple[NDArray[Any], Integers]:
    values, place = np.unique(given, return_inverse=True)
    return values, place.astype(np.int64, copy=False)


def _is_first(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether an entry differs from the one before."""
    changes = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=changes[1:])
    return changes
