"""Reliability of unbalanced interview panels: crossed random effects by REML."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.lapack import dpotrf, dtrtri
from scipy.optimize import brentq, minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit
from scipy.stats import chi2, norm

from orchestration.statistics.crossed_sparse import Fit, fit_sparse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Sparse = sp.csr_array[np.float64, tuple[int, int]]
Sums = Floats | Sparse

# Variance ratios to the residual are searched as log(1 + ratio / _KNEE): linear near
# zero, so that the boundary is an ordinary bound, and logarithmic further up.
_KNEE = 0.05
_LARGEST_RATIO = 1e8
_LARGEST = float(np.log1p(_LARGEST_RATIO / _KNEE))
_STARTS = (0.5, 0.03, 5.0)
# Where the terms explain every score the ratios have no maximum: with this share of the
# scores' variance added as noise they do, and what they say of each other is kept.
_NOISE, _NOTHING = 1e-5, 1e-6
# Small sums avoid the threads of the linear algebra library: where cores are busy,
# waiting for each other costs them milliseconds.
_BY_HAND = 1_000_000
# Sums are dense up to this many cells and columns.
_DENSE_CELLS, _DENSE_COLUMNS = 3_000_000, 120
_PROFILE_UP_TO = 5_000
# Wider panels are fitted without dense factors, as long as questions stay few.
_WIDEST, _MOST_QUESTIONS = 250, 200
# With so many ratings that intervals are asymptotic anyway, they pay earlier.
_WIDE_AND_LONG = 60
_RAYS = 48
# Below this standard deviation ratio a trace is taken directly: the short form cancels.
_SMALL_ROOT = 0.1
_NAMES = ("candidate", "interviewer", "question", "cand_x_int")
PROFILE, ASYMPTOTIC, NO_INTERVAL = "profile likelihood", "asymptotic REML", "none"


@dataclass(frozen=True)
class _Terms:
    """The quadratic sums that candidates and pairs are integrated out of.

    `table[t]` holds the cross-products of the columns for term t: candidates of one
    pattern between pairs of two sizes, or (`pattern` −1) pairs of one size.
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


@dataclass(frozen=True)
class _Likelihood:
    """Restricted likelihood of variance ratios.

    `base` holds the cross-products of the columns: the levels of interviewers and
    questions (`blocks`), the mean and the score. `names` are the ratios in order, first
    those of candidates and pairs.
    """

    names: tuple[str, ...]
    blocks: tuple[slice, ...]
    base: Floats
    terms: _Terms
    n: int
    noise: float = 1e-13


@dataclass(frozen=True)
class _Value:
    """REML criterion, its gradient in the ratios, intercept and residual variance."""

    deviance: float
    gradient: Floats
    intercept: float
    var_resid: float


@dataclass(frozen=True)
class Components:
    """Variance components of ratings.

    Attributes
    ----------
    intercept : float
        Generalised least squares mean in points of the score.
    var_candidate, var_interviewer, var_question, var_cand_x_int, var_resid : float
        Variances in squared points. NaN where a term is not in the model, because it
        was not asked for, is part of the residual or cannot be told from another. Where
        the terms explain every score, the residual's is set near 1e-5 of the scores'.
    reml_criterion : float
        −2 log restricted likelihood, as lme4 prints it. NaN without residual variance,
        and without dense factors, where its determinant is not computed.
    terms : tuple of str
        The random terms of the model; every other source is in the residual or in the
        term it coincides with.
    boundary : bool
        Whether some variance, perhaps the residual's, was estimated as zero.
    n_ratings, n_candidates, n_interviewers : int
        Sizes of the panel.
    icc_single : float
        Candidates' share of the variance of one rating (absolute agreement). NaN
        without spread, and where candidates or interviewers cannot be told apart.
    converged : bool
        Whether the criterion is at its minimum.
    """

    intercept: float
    var_candidate: float
    var_interviewer: float
    var_question: float
    var_cand_x_int: float
    var_resid: float
    reml_criterion: float
    terms: tuple[str, ...]
    boundary: bool
    n_ratings: int
    n_candidates: int
    n_interviewers: int
    icc_single: float
    converged: bool
    _names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    _ratios: tuple[float, ...] = field(default=(), repr=False, compare=False)
    _likelihood: _Likelihood | None = field(default=None, repr=False, compare=False)
    _fit: Fit | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Intervals:
    """Confidence limits of reliability, each in [0, 1].

    Attributes
    ----------
    icc_low, icc_high, g_low, g_high : float
        Limits of `icc_single` and of `g_qk`; NaN where the estimate is.
    ci_method : str
        "profile likelihood", "asymptotic REML" or "none".
    """

    icc_low: float
    icc_high: float
    g_low: float
    g_high: float
    ci_method: str


@dataclass(frozen=True)
class Connected:
    """The largest set of ratings that shared candidates and interviewers link.

    Attributes
    ----------
    n_components : int
        Number of connected sets.
    mask : ndarray of bool, shape (n_ratings,)
        The ratings of the set with the most ratings (the first at a tie).
    share : float
        Its share of the ratings; NaN without ratings.
    """

    n_components: int
    mask: Flags
    share: float


def components(
    score: ArrayLike,
    candidate: ArrayLike,
    interviewer: ArrayLike,
    question: ArrayLike | None = None,
    *,
    cand_x_int: bool | None = None,
) -> Components:
    """Fit score ~ 1 + candidate + interviewer (+ question + candidate:interviewer).

    All terms are random and crossed; the design may be unbalanced and sparse.
    Candidates and their pairs with interviewers are integrated out in closed form,
    grouped by how many ratings they have, so one likelihood costs one Cholesky factor
    of the size of the interviewers and questions. Above 250 interviewers (60 with more
    than 5,000 ratings) none is made: `crossed_sparse` finds the same maximum to within
    .005 standard errors.

    Parameters
    ----------
    score : array_like of float, shape (n_ratings,)
        No NaN.
    candidate, interviewer, question : array_like of int, shape (n_ratings,)
        Codes; only their equality matters. A term whose levels are single ratings, or
        the levels of an earlier term, is left out: see `Components.terms`.
    cand_x_int : bool, optional
        False keeps the interaction in the residual. Otherwise it is a term where some
        candidate has two ratings by one interviewer.

    Returns
    -------
    Components
        NaN where the ratings cannot tell; never an error for small panels.

    Raises
    ------
    ValueError
        If the arrays differ in length or a score is not finite.

    References
    ----------
    Patterson & Thompson (1971), Biometrika 58, 545-554; Bates, Mächler, Bolker &
    Walker (2015), J. Stat. Softw. 67(1), for the profiled criterion.
    """
    scores = np.asarray(score, dtype=np.float64)
    codes = [candidate, interviewer] + ([] if question is None else [question])
    levels = [_levels(code) for code in codes]
    if any(code.size != scores.size for code, _ in levels) or scores.ndim != 1:
        raise ValueError(
            "score, candidate, interviewer and question must have one entry per "
            f"rating, got {scores.size} and {[code.size for code, _ in levels]}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("score must be finite")
    chosen = _identified(levels, scores.size, cand_x_int is not False)
    centre = float(scores.mean()) if scores.size else np.nan
    spread = float(scores.std()) if scores.size else np.nan
    sizes = (scores.size, levels[0][1], levels[1][1])
    if not chosen or scores.size < len(chosen) + 2:
        return _unknown(centre, sizes)
    if spread <= 1e-12 * max(1.0, abs(centre)):
        return _no_spread(centre, sizes, tuple(chosen))
    standard = (scores - centre) / spread
    widest = _WIDEST if scores.size <= _PROFILE_UP_TO else _WIDE_AND_LONG
    if "interviewer" in chosen and levels[1][1] > widest:
        found = _wide(standard, chosen, levels)
        if found is not None and found.converged:
            return _from_fit(found, centre, spread, sizes, levels)
    return _fitted(_likelihood(standard, chosen), centre, spread, sizes, levels)


def intervals(
    fit: Components,
    *,
    q_overlap: float,
    k_harmonic: float,
    ratings_per_card: float = 1.0,
    q_question: float | None = None,
    level: float = 0.95,
) -> Intervals:
    """Return confidence limits of `icc_single` and of `g_qk`.

    The profile likelihood interval of a function is its range over the parameters whose
    likelihood ratio against the estimate is not rejected. Above 5,000 ratings or 250
    interviewers the logit of the function is taken as normal, with the observed or
    the average information.

    Parameters
    ----------
    fit : Components
        From `components`.
    q_overlap, k_harmonic, ratings_per_card, q_question : float
        As `q`, `k`, `m` and `q_question` of `g_qk`.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    Intervals
        NaN where the estimate is NaN; low is 0 where no candidate variance fits.

    References
    ----------
    Venzon & Moolgavkar (1988), Appl. Statist. 37, 87-94; Pawitan (2001), In All
    Likelihood, ch. 3.
    """
    nan, names = float("nan"), fit._names
    if "candidate" not in names:
        return Intervals(nan, nan, nan, nan, NO_INTERVAL)
    m = ratings_per_card
    weights = {
        "candidate": 1.0,
        "interviewer": q_overlap,
        "question": _question_share(q_question, k_harmonic, m),
        "cand_x_int": 1 / k_harmonic,
    }
    single = np.ones(len(names))
    panel = np.array([weights[name] for name in names])
    shares = [_Share(names.index("candidate"), single, 1.0)]
    shares.append(_Share(shares[0].candidate, panel, 1 / (k_harmonic * m)))
    known = [
        np.isfinite(fit.icc_single),
        np.isfinite([*panel, k_harmonic, m, fit.var_candidate]).all(),
    ]
    at = _position(np.array(fit._ratios))
    wanted = [share for share, ok in zip(shares, known, strict=True) if ok]
    large = fit.n_ratings > _PROFILE_UP_TO and fit.var_candidate > 0
    if fit._fit is not None:
        scale = fit._fit.ratios + _KNEE
        curvature = fit._fit.information * np.outer(scale, scale)
        slope = fit._fit.gradient * scale
        found, large = _asymptotic(curvature, slope, at, wanted, level), True
    elif large and fit._likelihood is not None:
        curvature = _curvature(fit._likelihood, at)
        found = _asymptotic(curvature, np.zeros(at.size), at, wanted, level)
    elif wanted and fit._likelihood is not None:
        found = _profile(fit._likelihood, at, wanted, level)
    else:
        found = []
    limits = [found.pop(0) if ok else (nan, nan) for ok in known]
    return Intervals(*limits[0], *limits[1], ASYMPTOTIC if large else PROFILE)


def q_overlap(candidate: ArrayLike, interviewer: ArrayLike) -> float:
    """Return q: how far interviewers' severity differs between two candidates.

    0 if all candidates met the same interviewers (crossed), 1/k if none are shared
    (nested).

    Parameters
    ----------
    candidate, interviewer : array_like of int, shape (n_ratings,)
        Codes; repeated pairs count once.

    Returns
    -------
    float
        NaN with fewer than two candidates.

    Raises
    ------
    ValueError
        If the arrays differ in length.

    References
    ----------
    Putka, Le, McCloy & Diaz (2008), J. Appl. Psychol. 93, 959-981, eq. 5.
    """
    count, met = _pairs(candidate, interviewer)
    n = count.size
    if n < 2:
        return float("nan")
    nested = float(np.sum(1 / count))
    by_interviewer = np.bincount(met[1], 1 / count[met[0]])
    shared = float(by_interviewer @ by_interviewer) - nested
    return max(nested / n - shared / (n * (n - 1)), 0.0)


def k_harmonic(candidate: ArrayLike, interviewer: ArrayLike) -> float:
    """Return the harmonic mean of the number of interviewers per candidate.

    Parameters
    ----------
    candidate, interviewer : array_like of int, shape (n_ratings,)
        Codes; repeated pairs count once.

    Returns
    -------
    float
        NaN without ratings.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    count, _ = _pairs(candidate, interviewer)
    return float(count.size / np.sum(1 / count)) if count.size else float("nan")


def g_qk(
    components: Components,
    q: float,
    k: float,
    *,
    q_question: float | None = None,
    m: float = 1.0,
) -> float:
    """Return G(q,k): the reliability of a candidate's mean over the panel.

    Parameters
    ----------
    components : Components
        Variances; NaN counts as 0, except the candidates'.
    q, k : float
        `q_overlap` and `k_harmonic` of the panel.
    q_question : float, optional
        `q_overlap(candidate, question)`. Default 1 / (k m): every rating on a question
        that no other candidate had.
    m : float
        Ratings per card (per candidate and interviewer).

    Returns
    -------
    float
        In [0, 1]; NaN if the candidates' variance is not known or all variances are 0.

    References
    ----------
    Putka, Le, McCloy & Diaz (2008), J. Appl. Psychol. 93, 959-981.
    """
    error = _error(components, q, k, q_question, m)
    total = components.var_candidate + error
    return components.var_candidate / total if total > 0 else float("nan")


def sem(
    components: Components,
    q: float,
    k: float,
    *,
    q_question: float | None = None,
    m: float = 1.0,
) -> float:
    """Return the standard error of measurement of a panel's mean, in points.

    Parameters
    ----------
    components, q, k, q_question, m
        As in `g_qk`.

    Returns
    -------
    float
        At least 0; NaN if the residual variance is not known.
    """
    return float(np.sqrt(_error(components, q, k, q_question, m)))


def g_with(components: Components, k: float, *, m: float = 1.0) -> float:
    """Return the reliability of a panel of k interviewers no other candidate meets.

    Parameters
    ----------
    components : Components
        Variances; NaN counts as 0, except the candidates'.
    k, m : float
        Interviewers per candidate and ratings per card.

    Returns
    -------
    float
        In [0, 1]; NaN as in `g_qk`.
    """
    return g_qk(components, 1 / k, k, m=m)


def d_study(
    components: Components,
    target: float = 0.70,
    max_raters: int = 20,
    *,
    m: float = 1.0,
) -> int | None:
    """Return the fewest interviewers for whom `g_with` reaches the target.

    Parameters
    ----------
    components : Components
        Variances; NaN counts as 0, except the candidates'.
    target : float
        Reliability wanted, in (0, 1).
    max_raters : int
        The largest panel considered.
    m : float
        Ratings per card.

    Returns
    -------
    int or None
        None if not reached with `max_raters`, or if reliability is not known.

    References
    ----------
    Brennan (2001), Generalizability Theory, ch. 4.
    """
    for k in range(1, max_raters + 1):
        if g_with(components, k, m=m) >= target:
            return k
    return None


def largest_component(candidate: ArrayLike, interviewer: ArrayLike) -> Connected:
    """Return the ratings that can be compared through shared people.

    Parameters
    ----------
    candidate, interviewer : array_like of int, shape (n_ratings,)
        Codes; only their equality matters.

    Returns
    -------
    Connected
        Connected sets of the graph whose edges are ratings.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    (left, n_left), (right, n_right) = _levels(candidate), _levels(interviewer)
    _same_length(left, right)
    if not left.size:
        return Connected(0, np.zeros(0, dtype=np.bool_), float("nan"))
    size = n_left + n_right
    edges = sp.coo_array((np.ones(left.size), (left, n_left + right)), (size, size))
    n_components, labels = connected_components(edges.tocsr(), directed=False)
    label = labels[left]
    mask = label == np.bincount(label).argmax()
    return Connected(int(n_components), mask, float(mask.mean()))


# --- which terms -----------------------------------------------------------------


def _levels(code: ArrayLike) -> tuple[Integers, int]:
    """Codes from 0 without gaps, and how many there are."""
    values, levels = np.unique(np.asarray(code), return_inverse=True)
    return levels.astype(np.int64, copy=False), int(values.size)


def _same_length(left: Integers, right: Integers) -> None:
    if left.size != right.size:
        raise ValueError(
            "candidate and interviewer must have one entry per rating, got "
            f"{left.size} and {right.size}"
        )


def _pairs(
    candidate: ArrayLike, interviewer: ArrayLike
) -> tuple[Floats, tuple[Integers, Integers]]:
    """Interviewers per candidate, and the distinct pairs."""
    (left, _), (right, n_right) = _levels(candidate), _levels(interviewer)
    _same_length(left, right)
    key = np.unique(left * max(n_right, 1) + right)
    first, second = key // max(n_right, 1), key % max(n_right, 1)
    return np.bincount(first).astype(np.float64), (first, second)


def _joint(left: tuple[Integers, int], right: tuple[Integers, int]) -> int:
    """Number of distinct combinations of two codes."""
    return int(np.unique(left[0] * right[1] + right[0]).size)


def _identified(
    levels: list[tuple[Integers, int]], n: int, interaction: bool
) -> dict[str, tuple[Integers, int]]:
    """Terms with their levels: neither constant, nor single ratings, nor the same.

    Two terms are the same if their levels coincide: no combination is new.
    """
    chosen: dict[str, tuple[Integers, int]] = {}
    offered = dict(zip(("candidate", "interviewer", "question"), levels, strict=False))
    if interaction and n:
        (left, _), (right, n_right) = levels[0], levels[1]
        offered["cand_x_int"] = _levels(left * n_right + right)
    for name, level in offered.items():
        if not 1 < level[1] < n:
            continue
        same = (
            other[1] == level[1] and _joint(other, level) == level[1]
            for other in chosen.values()
        )
        if not any(same):
            chosen[name] = level
    return chosen


def _unknown(centre: float, sizes: tuple[int, int, int]) -> Components:
    """The result where nothing is estimable but the mean."""
    nan = float("nan")
    return _result(
        centre, {}, nan, nan, (), sizes, nan, boundary=False, converged=False
    )


def _no_spread(
    centre: float, sizes: tuple[int, int, int], names: tuple[str, ...]
) -> Components:
    """The result of scores that are all equal."""
    zero, nan = dict.fromkeys(names, 0.0), float("nan")
    return _result(centre, zero, 0.0, nan, names, sizes, nan)


def _result(
    intercept: float,
    variances: dict[str, float],
    var_resid: float,
    criterion: float,
    names: tuple[str, ...],
    sizes: tuple[int, int, int],
    icc_single: float,
    *,
    boundary: bool = True,
    converged: bool = True,
) -> Components:
    """Components with NaN for the terms that are not in the model."""
    nan = float("nan")
    return Components(
        intercept=intercept,
        var_candidate=variances.get("candidate", nan),
        var_interviewer=variances.get("interviewer", nan),
        var_question=variances.get("question", nan),
        var_cand_x_int=variances.get("cand_x_int", nan),
        var_resid=var_resid,
        reml_criterion=criterion,
        terms=names,
        boundary=boundary,
        n_ratings=sizes[0],
        n_candidates=sizes[1],
        n_interviewers=sizes[2],
        icc_single=icc_single,
        converged=converged,
    )


# --- the likelihood --------------------------------------------------------------


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


def _likelihood(score: Floats, chosen: dict[str, tuple[Integers, int]]) -> _Likelihood:
    """Sufficient sums of standardised scores for the terms chosen."""
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
    columns += [np.full(n, width), np.full(n, width + 1)]
    values += [one, score]
    width += 2

    def summed(rows: Integers, size: int) -> Sums:
        return _matrix(rows, columns, values, (size, width))

    base = np.zeros((width, width))
    for i, (at, left) in enumerate(zip(columns, values, strict=True)):
        for to, right in list(zip(columns, values, strict=True))[: i + 1]:
            cell = np.bincount(at * width + to, left * right, width**2)
            base += cell.reshape(width, width)
    base = np.tril(base) + np.tril(base, -1).T
    terms = _terms(chosen, n, width, summed)
    return _Likelihood((*structured, *dense), tuple(blocks), base, terms, n)


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


def _terms(
    chosen: dict[str, tuple[Integers, int]],
    n: int,
    width: int,
    summed: Callable[[Integers, int], Sums],
) -> _Terms:
    """Group candidates by the sizes of their pairs and sum within the groups."""
    candidate, n_candidates = chosen.get("candidate", (np.zeros(n, dtype=np.int64), 1))
    owner, size, kind = candidate, np.ones(1, dtype=np.int64), np.zeros_like(candidate)
    pair, n_pairs = chosen.get("cand_x_int", (np.arange(n), n))
    if "cand_x_int" in chosen:
        size, kind = np.unique(np.bincount(pair), return_inverse=True)
        owner = np.zeros(n_pairs, dtype=np.int64)
        owner[pair] = candidate
    # Without the interaction every rating is a pair of its own.
    kinds = size.size
    counts = np.bincount(owner * kinds + kind, minlength=n_candidates * kinds)
    patterns, pattern = _patterns(counts.reshape(n_candidates, kinds))
    found: list[tuple[tuple[int, int, int], Sums]] = []
    if "candidate" in chosen:
        by_kind = summed(candidate * kinds + kind[pair], n_candidates * kinds)
        found += _candidate_terms(by_kind, patterns, pattern)
    if "cand_x_int" in chosen:
        by_pair = summed(pair, n_pairs)
        for a in range(kinds):
            rows = by_pair[np.flatnonzero(kind == a)]
            found.append(((-1, a, a), _product(rows, rows)))
    table, cells = _table([product for _, product in found], width)
    key = np.array([key for key, _ in found], dtype=np.int64).reshape(-1, 3)
    return _Terms(
        table=table,
        cells=cells,
        pattern=key[:, 0],
        first=key[:, 1],
        second=key[:, 2],
        counts=patterns.astype(np.float64),
        pattern_size=np.bincount(pattern).astype(np.float64),
        pair_size=size.astype(np.float64),
        pair_count=np.bincount(kind, minlength=kinds).astype(np.float64),
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


def _weights(
    terms: _Terms, names: tuple[str, ...], ratios: Floats
) -> tuple[Floats, float, list[tuple[Floats, float]]]:
    """Weight of each term and log-determinant, with their derivatives by ratio.

    A pair of m ratings has precision m / (1 + m r) for its mean (r: ratio of the
    interaction), a candidate the sum of these over the pairs.
    """
    known = dict(zip(names, ratios, strict=True))
    between, within = known.get("candidate", 0.0), known.get("cand_x_int", 0.0)
    m, size = terms.pair_size, terms.pattern_size
    w = 1 / (1 + within * m)
    h = terms.counts @ (m * w)
    shrink = 1 / (1 + between * h)
    pairs = terms.pattern < 0
    p, a, b = np.where(pairs, 0, terms.pattern), terms.first, terms.second
    g, both = between * shrink, w[a] * w[b]
    weight = np.where(pairs, within * w[a], g[p] * both)
    log_determinant = size @ np.log1p(between * h) + terms.pair_count @ np.log1p(
        within * m
    )
    slopes = []
    if "candidate" in known:
        slope = np.where(pairs, 0.0, shrink[p] ** 2 * both)
        slopes.append((slope, float(size @ (h * shrink))))
    if "cand_x_int" in known:
        dw = -m * w**2
        dh = terms.counts @ (m * dw)
        inner = g[p] * (dw[a] * w[b] + w[a] * dw[b]) - (g**2 * dh)[p] * both
        total = terms.pair_count @ (m * w) + size @ (between * dh * shrink)
        slopes.append((np.where(pairs, w[a] ** 2, inner), float(total)))
    return weight, float(log_determinant), slopes


def _value(likelihood: _Likelihood, ratios: Floats) -> _Value:
    """Criterion at variance ratios, residual variance and mean profiled out."""
    terms, names, n = likelihood.terms, likelihood.names, likelihood.n
    split, width = len(names) - len(likelihood.blocks), likelihood.base.shape[0]
    weight, constant, slopes = _weights(terms, names[:split], ratios[:split])
    cross = likelihood.base.copy()
    cross.reshape(-1)[terms.cells] -= _mixed(terms.table, weight)
    root, unit = np.ones(width - 1), np.ones(width - 1)
    unit[-1] = 0.0
    for block, ratio in zip(likelihood.blocks, ratios[split:], strict=True):
        root[block] = np.sqrt(ratio)
    inner, right = cross[:-1, :-1], cross[:-1, -1]
    system = inner * root[:, None]
    system *= root
    system.reshape(-1)[::width] += unit
    factor, _ = dpotrf(system.T, lower=1, overwrite_a=1)
    constant += 2 * float(np.log(factor.diagonal()).sum())
    half, _ = dtrtri(factor, lower=1, overwrite_c=1)
    inverse = half.T @ half
    effect = root * (inverse @ (root * right))
    squares = max(float(cross[-1, -1] - effect @ right), 0.0) + likelihood.noise * n
    deviance = constant + (n - 1) * (1 + np.log(2 * np.pi * squares / (n - 1)))
    precision = (n - 1) / squares
    gradient = np.empty(len(names))
    if slopes:
        gradient[:split] = _structured(terms, slopes, inverse, root, effect, precision)
    left = right - inner @ effect
    for k, block in enumerate(likelihood.blocks, start=split):
        trace = _trace(inner, inverse, root, block)
        gradient[k] = trace - precision * (left[block] @ left[block])
    return _Value(
        float(deviance), gradient, float(effect[-1]), float(squares / (n - 1))
    )


def _structured(
    terms: _Terms,
    slopes: list[tuple[Floats, float]],
    inverse: Floats,
    root: Floats,
    effect: Floats,
    precision: float,
) -> list[float]:
    """Slopes in the ratios of what was integrated out: chain rule over the terms."""
    change = np.append(-effect, 1.0)
    by_cell = np.multiply.outer(precision * change, change)
    scaled = inverse * root[:, None]
    scaled *= root
    by_cell[:-1, :-1] += scaled
    by_term = _collected(terms.table, by_cell.reshape(-1)[terms.cells])
    return [constant - float(by_term @ slope) for slope, constant in slopes]


def _trace(inner: Floats, inverse: Floats, root: Floats, block: slice) -> float:
    """Trace of a block's cross-products with the other effects projected out."""
    at = root[block.start]
    size = block.stop - block.start
    if at > _SMALL_ROOT:
        return float((size - inverse.diagonal()[block].sum()) / at**2)
    rows = inner[block] * root
    direct = inner.diagonal()[block].sum()
    return float(direct - np.sum((rows @ inverse) * rows))


# --- fitting and intervals -------------------------------------------------------


def _position(ratios: Floats) -> Floats:
    """Search coordinates of variance ratios, from 0 to `_LARGEST`."""
    return np.log1p(ratios / _KNEE)


def _ratios(position: Floats) -> Floats:
    return _KNEE * np.expm1(position)


def _at(likelihood: _Likelihood, position: Floats) -> tuple[float, Floats]:
    """Criterion and its gradient in search coordinates."""
    ratios = _ratios(position)
    value = _value(likelihood, ratios)
    return value.deviance, value.gradient * (ratios + _KNEE)


def _best(likelihood: _Likelihood) -> Floats:
    """Ratios where the criterion is smallest.

    In small panels it may have a second minimum at the boundary, so that one ending
    there is tried again from elsewhere.
    """
    best, least = _from(likelihood, _STARTS[0])
    if likelihood.n <= _PROFILE_UP_TO and not best.all():
        for start in _STARTS[1:]:
            found, value = _from(likelihood, start)
            if value < least - 1e-7:
                best, least = found, value
    return best


def _from(likelihood: _Likelihood, ratio: float) -> tuple[Floats, float]:
    """Ratios at the minimum reached when all start from one, and the criterion."""

    def criterion(position: Floats) -> tuple[float, Floats]:
        value, slope = _at(likelihood, position)
        return value / n, slope / n

    # Per rating, as the search takes its first step by the size of the slope.
    n = likelihood.n
    start = _position(np.full(len(likelihood.names), ratio))
    bounds = [(0.0, _LARGEST)] * start.size
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
    return np.where(found.x < 1e-9, 0.0, _ratios(found.x)), n * float(found.fun)


def _wide(
    standard: Floats,
    chosen: dict[str, tuple[Integers, int]],
    levels: list[tuple[Integers, int]],
) -> Fit | None:
    """The fit without dense factors; None where there are too many questions."""
    questions = chosen.get("question")
    if questions is not None and questions[1] > _MOST_QUESTIONS:
        return None
    order = ("candidate", "cand_x_int", "interviewer", "question")
    return fit_sparse(
        standard,
        levels[0][0],
        levels[1][0],
        None if questions is None else questions[0],
        names=tuple(name for name in order if name in chosen),
    )


def _from_fit(
    found: Fit,
    centre: float,
    spread: float,
    sizes: tuple[int, int, int],
    levels: list[tuple[Integers, int]],
) -> Components:
    """A fit of standardised scores in points."""
    result = _in_points(
        found.names,
        found.ratios,
        centre + spread * found.intercept,
        found.var_resid * spread**2,
        float("nan"),
        sizes,
        levels,
    )
    return replace(result, _fit=found)


def _fitted(
    likelihood: _Likelihood,
    centre: float,
    spread: float,
    sizes: tuple[int, int, int],
    levels: list[tuple[Integers, int]],
) -> Components:
    """Minimise the criterion and put the result into points."""
    ratios = _best(likelihood)
    exact = bool(1 / (1 + ratios.sum()) < _NOTHING)
    if exact:
        likelihood = replace(likelihood, noise=_NOISE)
        ratios = _best(likelihood)
    value = _value(likelihood, ratios)
    criterion = value.deviance + 2 * (sizes[0] - 1) * float(np.log(spread))
    slope = value.gradient * (ratios + _KNEE)
    uphill = np.where(ratios == 0, np.minimum(slope, 0), slope)
    result = _in_points(
        likelihood.names,
        ratios,
        centre + spread * value.intercept,
        value.var_resid * spread**2,
        float("nan") if exact else criterion,
        sizes,
        levels,
    )
    return replace(
        result,
        boundary=exact or result.boundary,
        converged=bool(np.abs(uphill).max() < 1e-2 + 1e-6 * sizes[0]),
        _likelihood=likelihood,
    )


def _in_points(
    names: tuple[str, ...],
    ratios: Floats,
    intercept: float,
    var_resid: float,
    criterion: float,
    sizes: tuple[int, int, int],
    levels: list[tuple[Integers, int]],
) -> Components:
    """Components from variance ratios; candidates' only where they can be told."""
    variances = dict(zip(names, (ratios * var_resid).tolist(), strict=True))
    separate = _separate(levels)
    if levels[1][1] > 1 and not separate:
        del variances["candidate"]
    known = separate and "candidate" in names
    result = _result(
        intercept,
        variances,
        var_resid,
        criterion,
        tuple(name for name in _NAMES if name in names),
        sizes,
        float(ratios[0] / (ratios.sum() + 1)) if known else float("nan"),
        boundary=bool((ratios == 0).any()),
    )
    return replace(result, _names=names, _ratios=tuple(ratios.tolist()))


def _separate(levels: list[tuple[Integers, int]]) -> bool:
    """Whether interviewers differ, and not just as the candidates do."""
    candidates, interviewers = levels[0], levels[1]
    one_each = _joint(candidates, interviewers) == candidates[1] == interviewers[1]
    return interviewers[1] > 1 and not one_each


@dataclass(frozen=True)
class _Share:
    """Candidates' ratio over a weighted sum of all ratios and the residual's 1."""

    candidate: int
    weights: Floats
    residual: float

    def at(self, position: Floats) -> tuple[float, Floats]:
        """Return the share and its gradient in search coordinates."""
        ratios = _ratios(position)
        total = float(self.weights @ ratios + self.residual)
        share = ratios[self.candidate] / total
        slope = -share * self.weights
        slope[self.candidate] += 1.0
        return float(share), slope / total * (ratios + _KNEE)


def _curvature(likelihood: _Likelihood, at: Floats) -> Floats:
    """Second derivatives of the criterion in search coordinates, from its gradient."""
    step, rows = 1e-4, []
    for k in range(at.size):
        move = np.zeros(at.size)
        move[k] = step
        ahead = _at(likelihood, at + move)[1]
        # One-sided at the boundary.
        behind = _at(likelihood, np.maximum(at - move, 0.0))[1]
        rows.append((ahead - behind) / (step + min(step, at[k])))
    return np.array(rows + np.transpose(rows)) / 2


def _inverse(curvature: Floats) -> Floats:
    """Inverse with negative and flat directions made positive."""
    values, vectors = np.linalg.eigh(curvature)
    values = np.maximum(np.abs(values), 1e-3 * np.abs(values).max(initial=0) + 1e-12)
    return np.asarray((vectors / values) @ vectors.T)


def _asymptotic(
    curvature: Floats, slope: Floats, at: Floats, shares: list[_Share], level: float
) -> list[tuple[float, float]]:
    """Logit ± normal quantile × standard error; ratios at zero are held there.

    Where that is the candidates', the limit is where the criterion, as a parabola in
    that ratio, has risen by the squared quantile.
    """
    free = np.flatnonzero(at > 0)
    covariance = 2 * _inverse(curvature[np.ix_(free, free)])
    quantile, found = float(norm.ppf((1 + level) / 2)), []
    for share in shares:
        value, change = share.at(at)
        if value <= 0:
            above, rise = at.copy(), max(float(slope[share.candidate]), 0.0)
            bend = max(float(curvature[share.candidate, share.candidate]), 1e-12)
            root = np.sqrt(rise**2 + 2 * bend * quantile**2)
            above[share.candidate] = min((root - rise) / bend, _LARGEST)
            found.append((0.0, share.at(above)[0]))
            continue
        change = change[free] / (value * (1 - value))
        half = quantile * np.sqrt(change @ covariance @ change)
        logit = np.log(value / (1 - value))
        found.append((float(expit(logit - half)), float(expit(logit + half))))
    return found


class _Region:
    """Ratios whose likelihood ratio against the estimate is not rejected."""

    def __init__(self, likelihood: _Likelihood, at: Floats, level: float) -> None:
        self.likelihood = likelihood
        self.centre = at
        self.best = _at(likelihood, at)[0]
        self.allowed = float(chi2.ppf(level, 1))
        self.spread = _inverse(_curvature(likelihood, at))
        self.last: tuple[bytes, tuple[float, Floats]] = (b"", (0.0, at))

    def room(self, position: Floats) -> tuple[float, Floats]:
        """How much less the criterion is than allowed, and its gradient."""
        key = position.tobytes()
        if self.last[0] != key:
            deviance, slope = _at(self.likelihood, np.clip(position, 0, _LARGEST))
            self.last = key, (self.best + self.allowed - deviance, -slope)
        return self.last[1]

    def _left(self, position: Floats) -> float:
        return self.room(position)[0]

    def _left_slope(self, position: Floats) -> Floats:
        return self.room(position)[1]

    def extreme(self, share: _Share, sign: float) -> float:
        """The largest (sign 1) or smallest (−1) share inside."""
        estimate, slope = share.at(self.centre)
        towards = self.spread @ slope
        size = np.sqrt(2 * self.allowed / max(float(slope @ towards), 1e-12))
        step = np.clip(sign * size * towards, -2.0, 2.0)
        found = self._search(share, sign, np.clip(self.centre + step, 0, _LARGEST))
        if found is None:
            start = self._farthest(share, sign)
            estimate = share.at(start)[0]
            found = self._search(share, sign, start)
        return estimate if found is None else sign * max(sign * found, sign * estimate)

    def _search(self, share: _Share, sign: float, start: Floats) -> float | None:
        """Extreme by sequential quadratic programming; None if it did not arrive."""

        def objective(position: Floats) -> tuple[float, Floats]:
            value, slope = share.at(position)
            return -sign * value, -sign * slope

        result = minimize(
            objective,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, _LARGEST)] * start.size,
            constraints={
                "type": "ineq",
                "fun": self._left,
                "jac": self._left_slope,
            },
            options={"ftol": 1e-6, "maxiter": 50},
        )
        room = self.room(result.x)[0]
        if not result.success or room < -0.01 * self.allowed:
            return None
        return share.at(result.x)[0]

    def _farthest(self, share: _Share, sign: float) -> Floats:
        """The best of the points where rays from the estimate leave the region."""
        rays = np.random.default_rng(0).normal(size=(_RAYS, self.centre.size))
        reached = [self.centre, *(self._exit(ray) for ray in rays)]
        return reached[int(np.argmax([sign * share.at(point)[0] for point in reached]))]

    def _exit(self, ray: Floats) -> Floats:
        """Where a ray from the estimate leaves the region, or ends at the bounds."""

        def point(length: float) -> Floats:
            return np.clip(self.centre + length * ray, 0, _LARGEST)

        def left(length: float) -> float:
            return self.room(point(length))[0]

        end = 0.1
        while left(end) > 0 and end < 1e3:
            end *= 2
        return point(brentq(left, 0.0, end, xtol=1e-6) if left(end) < 0 else end)


def _profile(
    likelihood: _Likelihood, at: Floats, shares: list[_Share], level: float
) -> list[tuple[float, float]]:
    """Range of each share over the region."""
    region = _Region(likelihood, at, level)
    return [(region.extreme(share, -1), region.extreme(share, 1)) for share in shares]


def _question_share(q_question: float | None, k: float, m: float) -> float:
    return 1 / (k * m) if q_question is None else q_question


def _error(
    components: Components, q: float, k: float, q_question: float | None, m: float
) -> float:
    """Error variance of a panel's mean score in squared points."""
    known = np.nan_to_num(
        [components.var_interviewer, components.var_question, components.var_cand_x_int]
    )
    weights = np.array([q, _question_share(q_question, k, m), 1 / k])
    return float(weights @ known + components.var_resid / (k * m))
