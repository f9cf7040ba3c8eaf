"""Columns of fixed effects: an intercept, covariates and the levels of factors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# A column is left out if others explain all but this share of its length, as in R.
_RANK = 1e-7


@dataclass(frozen=True)
class Design:
    """Fixed effects in columns that are orthogonal to each other.

    Attributes
    ----------
    names : tuple of str
        All columns: "intercept", "covariate 0" …, then "factor 0 = 3" … for each level
        of a factor but the lowest.
    kept : ndarray of int, shape (n_kept,)
        The columns that those before them do not explain.
    columns : ndarray, shape (n_ratings, n_kept)
        Orthogonal columns of length √n; the first is one throughout.
    triangle : ndarray, shape (n_kept, n_kept)
        Upper triangle; `columns @ triangle` are the columns kept.
    """

    names: tuple[str, ...]
    kept: Integers
    columns: Floats
    triangle: Floats

    @property
    def dropped(self) -> tuple[int, ...]:
        """Indices of the columns that others explain."""
        return tuple(np.setdiff1d(np.arange(len(self.names)), self.kept).tolist())

    def explains(self, level: Integers, n_levels: int) -> bool:
        """Return whether the columns tell the levels of a factor apart completely."""
        n, p = self.columns.shape
        if n_levels > p:
            return False
        sums = [np.bincount(level, column, n_levels) for column in self.columns.T]
        return bool(n - float(np.square(sums).sum()) / n <= _RANK * n)


def design(
    n: int, covariates: ArrayLike | None = None, factors: ArrayLike | None = None
) -> Design:
    """Return the columns of fixed effects for n ratings, redundant ones left out.

    Parameters
    ----------
    n : int
        Number of ratings.
    covariates : array_like of float, shape (n,) or (n, n_covariates), optional
        Columns as they are; no NaN.
    factors : array_like of int, shape (n,) or (n, n_factors), optional
        Codes of categories; each but the lowest gets a column (treatment coding).

    Returns
    -------
    Design
        Columns in this order, after an intercept.

    Raises
    ------
    ValueError
        If there is not one row per rating or a covariate is not finite.
    """
    names, raw = ["intercept"], [np.ones((n, 1))]
    if covariates is not None:
        given = _by_rating(covariates, n, "covariates").astype(np.float64)
        if not np.isfinite(given).all():
            raise ValueError("covariates must be finite")
        names += [f"covariate {k}" for k in range(given.shape[1])]
        raw.append(given)
    if factors is not None:
        for k, code in enumerate(_by_rating(factors, n, "factors").T):
            values, level = np.unique(code, return_inverse=True)
            names += [f"factor {k} = {value}" for value in values[1:].tolist()]
            raw.append((level[:, None] == np.arange(1, values.size)).astype(np.float64))
    kept, columns, triangle = _orthogonal(np.hstack(raw) if n else np.ones((0, 1)))
    return Design(tuple(names), kept, columns, triangle)


def _by_rating(values: ArrayLike, n: int, name: str) -> NDArray[np.generic]:
    """Two-dimensional values with one row per rating."""
    given = np.asarray(values)
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2 or given.shape[0] != n:
        raise ValueError(f"{name} must have {n} rows, got shape {given.shape}")
    return given


def _orthogonal(raw: Floats) -> tuple[Integers, Floats, Floats]:
    """Gram and Schmidt's columns, each projected twice; explained ones left out."""
    n, width = raw.shape
    columns, triangle = np.ones((width, n)), np.zeros((width, width))
    kept, size = [0], float(np.sqrt(n))
    triangle[0, 0] = 1.0
    for j in range(1, width):
        found, rest = columns[: len(kept)], raw[:, j].copy()
        whole = _length(rest)
        # Sums by einsum: threads that wait for busy cores cost more than they save.
        for _ in range(2):
            share = np.einsum("ij,j->i", found, rest) / max(n, 1)
            rest -= np.einsum("i,ij->j", share, found)
            triangle[: len(kept), j] += share
        length = _length(rest)
        if length > _RANK * whole:
            columns[len(kept)] = rest * (size / length)
            triangle[len(kept), j] = length / size
            kept.append(j)
    place = np.array(kept)
    return place, columns[: place.size].T, triangle[: place.size][:, place]


def _length(values: Floats) -> float:
    return float(np.sqrt(np.einsum("i,i->", values, values)))
