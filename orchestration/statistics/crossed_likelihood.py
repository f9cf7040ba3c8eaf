"""Restricted likelihood of crossed random effects, candidates integrated out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Sparse = sp.csr_array[np.float64, tuple[int, int]]
Sums = Floats | Sparse
Criterion = Callable[[Floats], tuple[float, Floats]]

# Variance ratios to the residual are searched as log(1 + ratio / KNEE): linear near
# zero, so that the boundary is an ordinary bound, and logarithmic further up.
KNEE = 0.05
_LARGEST_RATIO = 1e8
LARGEST = float(np.log1p(_LARGEST_RATIO / KNEE))
_STARTS = (0.5, 0.03, 5.0)
# Small sums avoid the threads of the linear algebra library: where cores are busy,
# waiting for each other costs them milliseconds.
_BY_HAND = 1_000_000
# Sums are dense up to this many cells and columns.
_DENSE_CELLS, _DENSE_COLUMNS = 3_000_000, 120
# Below this standard deviation ratio a trace is taken directly: the short form cancels.
_SMALL_ROOT = 0.1
# Second minima are looked for in panels of up to this many ratings.
_SMALL = 5_000


@dataclass(frozen=True)
class Terms:
    """The quadratic sums that candidates and pairs are integrated out of.

    Attributes
    ----------
    table : matrix, shape (n_terms, n_cells)
        Cross-products of the columns for term t: candidates of one pattern between
        pairs of two sizes, or pairs of one size.
    cells : ndarray of int or slice
        Place of the table's columns among the cross-products.
    pattern, first, second : ndarray of int, shape (n_terms,)
        Pattern (−1 for pairs) and the two sizes of pair.
    counts : ndarray, shape (n_patterns, n_sizes)
        Pairs of each size that a candidate of a pattern has.
    pattern_size : ndarray, shape (n_patterns,)
        Candidates of each pattern.
    pair_size, pair_count : ndarray, shape (n_sizes,)
        Ratings of a pair and number of such pairs.
    grouped : Grouped
        Which candidates and pairs these are.
    """

    table: Sums
    cells: Integers | slice
    pattern: Integers
    first: Integers
    second: Integers
    counts: Floats
    pattern_size: Floats
    pair_size: Floats
    pair_count: Floats
    grouped: "Grouped"


@dataclass(frozen=True)
class Grouped:
    """Pairs by size, and candidates by how many pairs of each size they have.

    Attributes
    ----------
    candidate, pair : ndarray of int, shape (n_ratings,)
        Codes from 0. Without candidates in the model all are one; without the
        interaction every rating is a pair of its own.
    n_candidates, n_pairs : int
        Numbers of them.
    size : ndarray of int, shape (n_sizes,)
        Sizes of pairs.
    kind : ndarray of int, shape (n_pairs,)
        Which size a pair has.
    patterns : ndarray of int, shape (n_patterns, n_sizes)
        Pairs of each size.
    pattern : ndarray of int, shape (n_candidates,)
        Which pattern a candidate has.
    """

    candidate: Integers
    pair: Integers
    n_candidates: int
    n_pairs: int
    size: Integers
    kind: Integers
    patterns: Integers
    pattern: Integers


@dataclass(frozen=True)
class Likelihood:
    """Restricted likelihood of variance ratios.

    Attributes
    ----------
    names : tuple of str
        The ratios in order, first those of candidates and pairs.
    blocks : tuple of slice
        Columns of the interviewers' and questions' levels.
    base : ndarray, shape (n_columns, n_columns)
        Cross-products of the columns: levels, fixed effects, score.
    terms : object
        Sums that candidates and pairs are integrated out of.
    n, n_fixed : int
        Ratings and fixed effects.
    noise : float
        Share of the scores' variance added to the residual's.
    """

    names: tuple[str, ...]
    blocks: tuple[slice, ...]
    base: Floats
    terms: Terms
    n: int
    n_fixed: int = 1
    noise: float = 1e-13

    @property
    def degrees(self) -> int:
        """Degrees of freedom left by the fixed effects."""
        return self.n - self.n_fixed


@dataclass(frozen=True)
class Value:
    """Where the criterion stands at some ratios.

    Attributes
    ----------
    deviance : float
        −2 log restricted likelihood.
    gradient : ndarray, shape (n_terms,)
        Its slope in the ratios.
    fixed : ndarray, shape (n_fixed,)
        Estimates of the fixed effects.
    var_resid : float
        Residual variance.
    """

    deviance: float
    gradient: Floats
    fixed: Floats
    var_resid: float


@dataclass(frozen=True)
class Solved:
    """The mixed model's equations over levels and fixed effects, and their solution.

    Attributes
    ----------
    inner, right : ndarray
        Cross-products of the columns, and with the score, candidates integrated out.
    root : ndarray, shape (n_columns,)
        Roots of the columns' ratios; 1 for fixed effects.
    inverse : ndarray, shape (n_columns, n_columns)
        Of the equations scaled by `root`: between two of them, their prediction errors'
        covariance is root × inverse × root × residual variance.
    effect : ndarray, shape (n_columns,)
        Predictions of levels and estimates of fixed effects.
    squares, constant : float
        Weighted residual squares and log-determinants.
    slopes : list of (ndarray, ndarray)
        Derivatives of terms and determinant by ratio of candidates and pairs.
    """

    inner: Floats
    right: Floats
    root: Floats
    inverse: Floats
    effect: Floats
    squares: float
    constant: float
    slopes: list[tuple[Floats, Floats]]


def indicator(code: Integers, n_levels: int) -> sp.csr_array:
    """Return a matrix with a one in the row of each code, in the column of its place.

    Parameters
    ----------
    code : ndarray of int, shape (n,)
        From 0.
    n_levels : int
        Number of rows.

    Returns
    -------
    csr_array, shape (n_levels, n)
        Its product with columns sums them by code.
    """
    place = (code, np.arange(code.size))
    return sp.csr_array((np.ones(code.size), place), shape=(n_levels, code.size))


def _matrix(
    rows: Integers,
    columns: list[Integers],
    values: list[Floats],
    shape: tuple[int, int],
) -> Sums:
    """Sums of values by row and column, dense while small."""
    at = np.tile(rows, len(columns)), np.concatenate(columns)
    value = np.concatenate(values)
    if shape[1] <= _DENSE_COLUMNS and shape[0] * shape[1] <= _DENSE_CELLS:
        flat = np.bincount(at[0] * shape[1] + at[1], value, shape[0] * shape[1])
        return np.asarray(flat, dtype=np.float64).reshape(shape)
    return sp.csr_array((value, at), shape)


def likelihood_of(
    score: Floats, fixed: Floats, chosen: dict[str, tuple[Integers, int]]
) -> Likelihood:
    """Return sufficient sums of standardised scores for the terms chosen.

    Parameters
    ----------
    score : ndarray, shape (n_ratings,)
        Standardised scores; no NaN.
    fixed : ndarray, shape (n_ratings, n_fixed)
        Columns of the fixed effects, of full rank; ones alone for a mean.
    chosen : dict of str to (ndarray of int, int)
        Codes from 0 and number of levels of each random term.

    Returns
    -------
    Likelihood
        All that the criterion needs of the scores.
    """
    n = score.size
    dense = [name for name in ("interviewer", "question") if name in chosen]
    structured = [name for name in ("candidate", "cand_x_int") if name in chosen]
    one = np.ones(n)
    columns, values, blocks, width = [], [], [], 0
    for name in dense:
        level, size = chosen[name]
        columns.append(width + level)
        values.append(one)
        blocks.append(slice(width, width + size))
        width += size
    measured = np.column_stack([fixed, score])
    base = _base(columns, blocks, measured)
    for column in measured.T:
        columns.append(np.full(n, width))
        values.append(column)
        width += 1

    def summed(rows: Integers, size: int) -> Sums:
        return _matrix(rows, columns, values, (size, width))

    terms = _terms(chosen, n, width, summed)
    names = (*structured, *dense)
    return Likelihood(names, tuple(blocks), base, terms, n, fixed.shape[1])


def _base(columns: list[Integers], blocks: list[slice], measured: Floats) -> Floats:
    """Cross-products of indicator columns and measured ones."""
    levels = blocks[-1].stop if blocks else 0
    width = levels + measured.shape[1]
    base = np.zeros((width, width))
    for i, at in enumerate(columns):
        for to in columns[: i + 1]:
            cell = np.bincount(at * width + to, minlength=width**2)
            base += cell.reshape(width, width)
        for k, column in enumerate(measured.T, start=levels):
            base[k, :levels] += np.bincount(at, column, levels)
    base[levels:, levels:] = np.einsum("ij,ik->jk", measured, measured)
    return np.asarray(np.tril(base) + np.tril(base, -1).T)


def _product(left: Sums, right: Sums) -> Sums:
    """Cross-products of two matrices' columns, of the same kind as they are."""
    if isinstance(left, sp.csr_array) and isinstance(right, sp.csr_array):
        return sp.csr_array(left.T @ right)
    one, other = np.asarray(left), np.asarray(right)
    if one.size * one.shape[1] <= _BY_HAND:
        return np.asarray(np.einsum("ij,ik->jk", one, other))
    return np.asarray(one.T @ other)


def _symmetric(product: Sums) -> Sums:
    """A matrix plus its transpose."""
    if isinstance(product, sp.csr_array):
        return sp.csr_array(product + product.T)
    return np.asarray(product + product.T)


def _grouped(chosen: dict[str, tuple[Integers, int]], n: int) -> Grouped:
    """Group candidates by the sizes of their pairs."""
    candidate, n_candidates = chosen.get("candidate", (np.zeros(n, dtype=np.int64), 1))
    owner, size, kind = candidate, np.ones(1, dtype=np.int64), np.zeros_like(candidate)
    pair, n_pairs = chosen.get("cand_x_int", (np.arange(n), n))
    if "cand_x_int" in chosen:
        size, kind = np.unique(np.bincount(pair), return_inverse=True)
        owner = np.zeros(n_pairs, dtype=np.int64)
        owner[pair] = candidate
    kinds = size.size
    counts = np.bincount(owner * kinds + kind, minlength=n_candidates * kinds)
    patterns, pattern = _patterns(counts.reshape(n_candidates, kinds))
    return Grouped(
        candidate, pair, n_candidates, n_pairs, size, kind, patterns, pattern
    )


def _terms(
    chosen: dict[str, tuple[Integers, int]],
    n: int,
    width: int,
    summed: Callable[[Integers, int], Sums],
) -> Terms:
    """Sums within groups of candidates and of pairs."""
    grouped = _grouped(chosen, n)
    kinds, kind = grouped.size.size, grouped.kind
    found: list[tuple[tuple[int, int, int], Sums]] = []
    if "candidate" in chosen:
        rows = grouped.candidate * kinds + kind[grouped.pair]
        by_kind = summed(rows, grouped.n_candidates * kinds)
        found += _candidate_terms(by_kind, grouped.patterns, grouped.pattern)
    if "cand_x_int" in chosen:
        by_pair = summed(grouped.pair, grouped.n_pairs)
        for a in range(kinds):
            same = by_pair[np.flatnonzero(kind == a)]
            found.append(((-1, a, a), _product(same, same)))
    table, cells = _table([product for _, product in found], width)
    key = np.array([key for key, _ in found], dtype=np.int64).reshape(-1, 3)
    return Terms(
        table=table,
        cells=cells,
        pattern=key[:, 0],
        first=key[:, 1],
        second=key[:, 2],
        counts=grouped.patterns.astype(np.float64),
        pattern_size=np.bincount(grouped.pattern).astype(np.float64),
        pair_size=grouped.size.astype(np.float64),
        pair_count=np.bincount(kind, minlength=kinds).astype(np.float64),
        grouped=grouped,
    )


def _candidate_terms(
    by_kind: Sums, patterns: Integers, pattern: Integers
) -> list[tuple[tuple[int, int, int], Sums]]:
    """Cross-products of candidates' sums, by pattern and two sizes of pair."""
    kinds = patterns.shape[1]
    found: list[tuple[tuple[int, int, int], Sums]] = []
    order = np.argsort(pattern, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(pattern))[:-1])
    for p, members in enumerate(groups):
        present = [int(a) for a in np.flatnonzero(patterns[p])]
        rows = {a: by_kind[members * kinds + a] for a in present}
        for i, a in enumerate(present):
            for b in present[i:]:
                both = _product(rows[a], rows[b])
                found.append(((p, a, b), both if a == b else _symmetric(both)))
    return found


def _patterns(counts: Integers) -> tuple[Integers, Integers]:
    """Distinct rows and which of them each row is."""
    if counts.shape[1] == 1:
        values, which = np.unique(counts[:, 0], return_inverse=True)
        return values[:, None], which
    values, which = np.unique(counts, axis=0, return_inverse=True)
    return values, which.ravel()


def _table(products: list[Sums], width: int) -> tuple[Sums, Integers | slice]:
    """Terms as rows; only cells that some term fills where they are sparse."""
    if not any(isinstance(product, sp.csr_array) for product in products):
        flat = [np.asarray(product).ravel() for product in products]
        return np.stack(flat) if flat else np.zeros((0, width**2)), slice(None)
    parts = [sp.csr_array(product).tocoo() for product in products]
    cell = [part.row.astype(np.int64) * width + part.col for part in parts]
    term = np.repeat(np.arange(len(parts)), [part.nnz for part in parts])
    cells, row = np.unique(np.concatenate(cell), return_inverse=True)
    value = np.concatenate([part.data for part in parts])
    shape = len(parts), cells.size
    return sp.csr_array((value, (term, row)), shape), cells


def _mixed(table: Sums, weight: Floats) -> Floats:
    """Sum of terms with weights."""
    if isinstance(table, sp.csr_array):
        return np.asarray(table.T @ weight)
    return np.asarray(np.einsum("tc,t->c", table, weight))


def _collected(table: Sums, by_cell: Floats) -> Floats:
    """Sum of cells with weights, by term."""
    if isinstance(table, sp.csr_array):
        return np.asarray(table @ by_cell)
    return np.asarray(np.einsum("tc,c->t", table, by_cell))


def term_weights(
    terms: Terms, names: tuple[str, ...], ratios: Floats
) -> tuple[Floats, Floats, list[tuple[Floats, Floats]]]:
    """Return each term's weight and the log-determinant, with their derivatives.

    A pair of m ratings has precision m / (1 + m r) for its mean (r: ratio of the
    interaction), a candidate the sum of these over the pairs.

    Parameters
    ----------
    terms : Terms
        The sums that candidates and pairs are integrated out of.
    names : tuple of str
        Which of candidates and pairs have a ratio.
    ratios : ndarray, shape (..., n_names)
        Variances over the residual's, at least 0.

    Returns
    -------
    ndarray of shape (..., n_terms), ndarray of shape (...), list of both
        Weights, log-determinant, and their derivatives by each ratio.
    """
    none = np.zeros((*ratios.shape[:-1], 1))
    known = {name: ratios[..., [place]] for place, name in enumerate(names)}
    between, within = known.get("candidate", none), known.get("cand_x_int", none)
    m, size = terms.pair_size, terms.pattern_size
    w = 1 / (1 + within * m)
    h = (m * w) @ terms.counts.T
    shrink = 1 / (1 + between * h)
    pairs = terms.pattern < 0
    p, a, b = np.where(pairs, 0, terms.pattern), terms.first, terms.second
    g, both = between * shrink, w[..., a] * w[..., b]
    weight = np.where(pairs, within * w[..., a], g[..., p] * both)
    log_determinant = np.log1p(between * h) @ size
    log_determinant = log_determinant + np.log1p(within * m) @ terms.pair_count
    slopes = []
    if "candidate" in known:
        slope = np.where(pairs, 0.0, shrink[..., p] ** 2 * both)
        slopes.append((slope, (h * shrink) @ size))
    if "cand_x_int" in known:
        dw = -m * w**2
        dh = (m * dw) @ terms.counts.T
        inner = g[..., p] * (dw[..., a] * w[..., b] + w[..., a] * dw[..., b])
        inner -= (g**2 * dh)[..., p] * both
        total = (m * w) @ terms.pair_count + (between * dh * shrink) @ size
        slopes.append((np.where(pairs, w[..., a] ** 2, inner), total))
    return weight, log_determinant, slopes


def solved(likelihood: Likelihood, ratios: Floats) -> Solved:
    """Return the solution of the mixed model's equations.

    Candidates and pairs are integrated out.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    ratios : ndarray, shape (n_terms,)
        Variances over the residual's, at least 0.

    Returns
    -------
    Solved
        The equations scaled by the roots of the ratios, so that they may be 0.
    """
    terms, names = likelihood.terms, likelihood.names
    split, width = len(names) - len(likelihood.blocks), likelihood.base.shape[0]
    weight, determinant, slopes = term_weights(terms, names[:split], ratios[:split])
    cross = likelihood.base.copy()
    cross.reshape(-1)[terms.cells] -= _mixed(terms.table, weight)
    root, unit = np.ones(width - 1), np.ones(width - 1)
    unit[width - 1 - likelihood.n_fixed :] = 0.0
    for block, ratio in zip(likelihood.blocks, ratios[split:], strict=True):
        root[block] = np.sqrt(ratio)
    inner, right = cross[:-1, :-1], cross[:-1, -1]
    system = inner * root[:, None]
    system *= root
    system.reshape(-1)[::width] += unit
    factor, _ = dpotrf(system.T, lower=1, overwrite_a=1)
    constant = float(determinant) + 2 * float(np.log(factor.diagonal()).sum())
    half, _ = dtrtri(factor, lower=1, overwrite_c=1)
    inverse = half.T @ half
    effect = root * (inverse @ (root * right))
    squares = max(float(cross[-1, -1] - effect @ right), 0.0)
    squares += likelihood.noise * likelihood.n
    return Solved(inner, right, root, inverse, effect, squares, constant, slopes)


def value_at(
    likelihood: Likelihood, ratios: Floats, var_resid: float | None = None
) -> Value:
    """Return the criterion, fixed effects profiled out.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    ratios : ndarray, shape (n_terms,)
        Variances over the residual's, at least 0.
    var_resid : float, optional
        Residual variance, above 0. Default: profiled out too.

    Returns
    -------
    Value
        In squared standardised points; `var_resid` is the best at these ratios.
    """
    names = likelihood.names
    split, free = len(names) - len(likelihood.blocks), likelihood.degrees
    found = solved(likelihood, ratios)
    best = found.squares / free
    scale = best if var_resid is None else var_resid
    deviance = found.constant + free * (best / scale + np.log(2 * np.pi * scale))
    precision = 1 / scale
    gradient = np.empty(len(names))
    if found.slopes:
        gradient[:split] = _structured(likelihood.terms, found, precision)
    left = found.right - found.inner @ found.effect
    for k, block in enumerate(likelihood.blocks, start=split):
        trace = _trace(found.inner, found.inverse, found.root, block)
        gradient[k] = trace - precision * (left[block] @ left[block])
    fixed = found.effect[-likelihood.n_fixed :]
    return Value(float(deviance), gradient, fixed, float(best))


def _structured(terms: Terms, found: Solved, precision: float) -> list[float]:
    """Slopes in the ratios of what was integrated out: chain rule over the terms."""
    change = np.append(-found.effect, 1.0)
    by_cell = np.multiply.outer(precision * change, change)
    scaled = found.inverse * found.root[:, None]
    scaled *= found.root
    by_cell[:-1, :-1] += scaled
    by_term = _collected(terms.table, by_cell.reshape(-1)[terms.cells])
    return [float(constant - by_term @ slope) for slope, constant in found.slopes]


def _trace(inner: Floats, inverse: Floats, root: Floats, block: slice) -> float:
    """Trace of a block's cross-products with the other effects projected out."""
    at = root[block.start]
    size = block.stop - block.start
    if at > _SMALL_ROOT:
        return float((size - inverse.diagonal()[block].sum()) / at**2)
    rows = inner[block] * root
    direct = inner.diagonal()[block].sum()
    return float(direct - np.sum((rows @ inverse) * rows))


def position_of(ratios: Floats) -> Floats:
    """Return search coordinates of variance ratios, from 0 to `LARGEST`.

    Parameters
    ----------
    ratios : ndarray
        At least 0; any shape.

    Returns
    -------
    ndarray
        Of the same shape.
    """
    return np.log1p(ratios / KNEE)


def ratios_at(position: Floats) -> Floats:
    """Return the variance ratios at search coordinates.

    Parameters
    ----------
    position : ndarray
        From 0 to `LARGEST`; any shape.

    Returns
    -------
    ndarray
        Of the same shape.
    """
    return KNEE * np.expm1(position)


def criterion_at(likelihood: Likelihood, position: Floats) -> tuple[float, Floats]:
    """Return criterion and gradient in search coordinates.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    position : ndarray, shape (n_terms,)
        Search coordinates.

    Returns
    -------
    float, ndarray of shape (n_terms,)
        −2 log restricted likelihood and its slope.
    """
    ratios = ratios_at(position)
    value = value_at(likelihood, ratios)
    return value.deviance, value.gradient * (ratios + KNEE)


def best_ratios(likelihood: Likelihood) -> Floats:
    """Return the ratios where the criterion is smallest.

    In small panels it may have a second minimum at the boundary, so that one ending
    there is tried again from elsewhere.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.

    Returns
    -------
    ndarray, shape (n_terms,)
        0 at the boundary.
    """
    best, least = _from(likelihood, _STARTS[0])
    if likelihood.n <= _SMALL and not best.all():
        for start in _STARTS[1:]:
            found, value = _from(likelihood, start)
            if value < least - 1e-7:
                best, least = found, value
    return best


def _from(likelihood: Likelihood, ratio: float) -> tuple[Floats, float]:
    """Ratios at the minimum reached when all start from one, and the criterion."""

    def criterion(position: Floats) -> tuple[float, Floats]:
        value, slope = criterion_at(likelihood, position)
        return value / n, slope / n

    # Per rating, as the search takes its first step by the size of the slope.
    n = likelihood.n
    start = position_of(np.full(len(likelihood.names), ratio))
    bounds = [(0.0, LARGEST)] * start.size
    found = minimize(
        criterion,
        start,
        jac=True,
        method="SLSQP",
        bounds=bounds,
        options={"ftol": 1e-13, "maxiter": 200},
    )
    if not found.success:
        found = minimize(
            criterion,
            found.x,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-14, "gtol": 1e-8},
        )
    return np.where(found.x < 1e-9, 0.0, ratios_at(found.x)), n * float(found.fun)


def curvature_at(likelihood: Likelihood, at: Floats) -> Floats:
    """Return second derivatives of the criterion in search coordinates.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    at : ndarray, shape (n_terms,)
        Search coordinates.

    Returns
    -------
    ndarray, shape (n_terms, n_terms)
        One-sided at the boundary.
    """
    return curvature_of(partial(criterion_at, likelihood), at)


def curvature_of(criterion: Criterion, at: Floats) -> Floats:
    """Return second derivatives of a criterion, from its gradient.

    Parameters
    ----------
    criterion : callable
        From coordinates, at least 0, to value and gradient.
    at : ndarray, shape (n,)
        Coordinates.

    Returns
    -------
    ndarray, shape (n, n)
        One-sided at the boundary.
    """
    step, rows = 1e-4, []
    for k in range(at.size):
        move = np.zeros(at.size)
        move[k] = step
        ahead = criterion(at + move)[1]
        # One-sided at the boundary.
        behind = criterion(np.maximum(at - move, 0.0))[1]
        rows.append((ahead - behind) / (step + min(step, at[k])))
    return np.array(rows + np.transpose(rows)) / 2


def steep_inverse(curvature: Floats) -> Floats:
    """Return the inverse with negative and flat directions made positive.

    Parameters
    ----------
    curvature : ndarray, shape (n_terms, n_terms)
        Symmetric.

    Returns
    -------
    ndarray, shape (n_terms, n_terms)
        Positive definite.
    """
    values, vectors = np.linalg.eigh(curvature)
    values = np.maximum(np.abs(values), 1e-3 * np.abs(values).max(initial=0) + 1e-12)
    return np.asarray((vectors / values) @ vectors.T)
