"""Interviewer severity, adjusted for who was interviewed and in which round."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr

from orchestration.statistics.codes import levels
from orchestration.statistics.positive_inverse import positive_inverse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Passes end where components move by less than this share of their sum: weights matter
# only to second order.
_PASSES, _SETTLED = 12, 1e-3
_START = np.array([0.3, 0.3, 0.4])
_SMALLEST, _ROUNDING = 1e-12, 1e-9
# Simulated at a time: some tens of megabytes.
_BATCH = 2_000_000
# Cube roots of mean squares of fewer cards are too skewed to stand for those of others.
_FEW = 5


@dataclass(frozen=True)
class _Design:
    """Cards as sparse indicator matrices; columns are interviewers, then cells."""

    score: Floats
    columns: sp.csr_matrix
    visit: Integers
    visit_candidate: Integers
    visits: sp.csr_matrix
    candidates: sp.csr_matrix
    n_interviewers: int
    gram: sp.coo_array
    gram_visits: sp.coo_array
    gram_candidates: sp.coo_array
    null: Floats
    weights: Floats
    alone: NDArray[np.bool_]


@dataclass(frozen=True)
class _Model:
    """What simulating from the model needs; `precision` is the diagonal of V⁻¹."""

    design: _Design
    components: Floats
    covariance: Floats
    precision: Floats


@dataclass(frozen=True)
class Severity:
    """Severity by interviewer, and what the model expects of each card.

    Attributes
    ----------
    raw, se : ndarray, shape (n_interviewers,)
        Unshrunken severity (BLUE) in points of the score, positive = stricter, and its
        standard error. The card-weighted mean of each connected set of interviewers is
        zero. NaN where an interviewer has no peer in any round.
    shrunk, shrunk_sd : ndarray, shape (n_interviewers,)
        Best linear unbiased prediction (BLUP) and its posterior standard deviation.
    var_interviewer, var_candidate, var_candidate_round, var_resid : float
        Variance components in squared points.
    expected, expected_var : ndarray, shape (n_cards,)
        Mean and variance of each card's score given all other cards of the candidate,
        both without the interviewer's own severity.
    residual : ndarray, shape (n_cards,)
        Score minus round mean and interviewer effect.
    model : object
        What `misfit` needs besides.
    """

    raw: Floats
    se: Floats
    shrunk: Floats
    shrunk_sd: Floats
    var_interviewer: float
    var_candidate: float
    var_candidate_round: float
    var_resid: float
    expected: Floats
    expected_var: Floats
    residual: Floats
    model: _Model = field(repr=False)


@dataclass(frozen=True)
class Misfit:
    """How far each interviewer's cards lie from what the model expects of them.

    Attributes
    ----------
    n : ndarray of int, shape (n_interviewers,)
        Cards compared.
    infit, outfit : ndarray
        Mean squared misfit over what is expected, weighted by information and not; 1
        is what all interviewers of the same cells show together. NaN without a card.
    infit_critical, outfit_critical : ndarray
        What an interviewer like the others reaches by chance with probability `level`.
    p : ndarray
        Probability that one like the others reaches the outfit.
    """

    n: Integers
    infit: Floats
    outfit: Floats
    infit_critical: Floats
    outfit_critical: Floats
    p: Floats


def severity(
    score: ArrayLike,
    candidate: ArrayLike,
    cell: ArrayLike,
    interviewer: ArrayLike,
) -> Severity:
    """Return how strict each interviewer is against peers with the same candidates.

    Scores are modelled as round cell + interviewer + candidate + candidate in that
    cell + error; candidates are random, so an interviewer is compared through the
    candidates' other cards. Interviewers and cells are fixed for `raw` (generalised
    least squares) and interviewers random for `shrunk`. Variance components are found
    by equating products of residuals within and across visits to their expectations,
    with the degrees of freedom of the fixed effects taken out exactly, iterated with
    the weights they imply; the interviewers' variance by Paule and Mandel's equation.

    Parameters
    ----------
    score : array_like of float, shape (n_cards,)
        One score per card; no NaN.
    candidate, cell, interviewer : array_like of int, shape (n_cards,)
        Codes from 0. A cell is what is compared with itself only, such as a round of
        a role family under one rubric.

    Returns
    -------
    Severity
        Arrays by interviewer code and by card.

    Raises
    ------
    ValueError
        If the arrays differ in length or are empty.

    References
    ----------
    Searle, Casella & McCulloch (1992), Variance Components, ch. 5 and 7; Paule &
    Mandel (1982), J. Res. NBS 87, 377-385.
    """
    design = _design(
        np.asarray(score, dtype=np.float64),
        np.asarray(candidate, dtype=np.int64),
        np.asarray(cell, dtype=np.int64),
        np.asarray(interviewer, dtype=np.int64),
    )
    effects, covariance, components = _settled(design)
    p = design.n_interviewers
    raw, within = effects[:p], covariance[:p, :p]
    se = np.sqrt(np.clip(np.diagonal(within), 0, None))
    var_interviewer = _between(raw[~design.alone], se[~design.alone])
    shrunk, shrunk_sd = _predicted(raw, within, var_interviewer)
    residual = design.score - design.columns @ effects
    weighted = _weighted(design, components, residual[:, None])[:, 0]
    precision = _precision(design, components)
    return Severity(
        raw=np.where(design.alone, np.nan, -raw),
        se=np.where(design.alone, np.nan, se),
        shrunk=np.where(design.alone, np.nan, -shrunk),
        shrunk_sd=np.where(design.alone, np.nan, shrunk_sd),
        var_interviewer=var_interviewer,
        var_candidate=float(components[0]),
        var_candidate_round=float(components[1]),
        var_resid=float(components[2]),
        expected=residual - weighted / precision,
        expected_var=1 / precision,
        residual=residual,
        model=_Model(design, components, covariance, precision),
    )


def misfit(
    found: Severity,
    is_judged: ArrayLike,
    *,
    rng: np.random.Generator,
    n_draws: int,
    level: float = 0.05,
) -> Misfit:
    """Return how well each interviewer's cards fit, and what chance would do.

    A card's misfit is its distance from what the candidate's other cards lead to
    expect. Rules of thumb for its mean square ("above 1.5") raise false alarms that
    depend on the number of cards and on who rated with whom; critical values therefore
    come from scores drawn from the fitted model for the same candidates, cells and
    interviewers, with interviewers and cells fitted anew each time. Cube roots of mean
    squares are nearly normal with a spread of one over the root of the number of
    cards, so draws of all interviewers tell the tails together.

    Parameters
    ----------
    found : Severity
        The fitted model.
    is_judged : array_like of bool, shape (n_cards,)
        Cards to compare, such as those another interviewer's card stands beside.
    rng : numpy.random.Generator
        Draws the scores.
    n_draws : int
        How many companies to draw, at least 2.
    level : float
        Probability with which chance reaches a critical value.

    Returns
    -------
    Misfit
        By interviewer code.

    Raises
    ------
    ValueError
        If `n_draws` is below 2 or there is not one entry of `is_judged` per card.

    References
    ----------
    Wright & Masters (1982), Rating Scale Analysis, ch. 5, for the mean squares; Wilson
    & Hilferty (1931), PNAS 17, 684-688, for the cube root; Wolfe (2013), J. Appl.
    Meas. 14(1), 1-9, for critical values by parametric bootstrap.
    """
    judged = np.asarray(is_judged, dtype=np.bool_)
    model = found.model
    if n_draws < 2 or judged.shape != model.design.score.shape:
        raise ValueError(
            f"n_draws must be at least 2 and is_judged have {model.design.score.size}"
            f" entries, got {n_draws} and shape {judged.shape}"
        )
    distance = (found.residual - found.expected)[:, None]
    n, squares = _mean_squares(model, judged, distance)
    root = np.cbrt(squares[:, :, 0])
    batch = max(1, _BATCH // max(judged.size, 1))
    sizes = [min(batch, n_draws - at) for at in range(0, n_draws, batch)]
    parts = [_mean_squares(model, judged, _drawn(model, rng, size)) for size in sizes]
    roots = np.cbrt(np.concatenate([drawn for _, drawn in parts], axis=2))
    centre = roots.mean(axis=2)
    scale = np.sqrt(np.maximum(n, 1))
    # A draw lies closer to the mean of all draws, itself among them, than scores that
    # are not one of them.
    wider = np.sqrt((n_draws + 1) / (n_draws - 1))
    pooled = wider * (roots - centre[:, :, None]) * scale[:, None]
    steady = n >= _FEW if (n >= _FEW).any() else n > 0
    chance = np.sort(pooled[:, steady].reshape(2, -1), axis=1)
    if not chance.size:
        nothing = np.full(n.size, np.nan)
        return Misfit(n, nothing, nothing, nothing, nothing, nothing)
    reached = np.quantile(chance, 1 - level, axis=1)
    critical = np.maximum(centre + reached[:, None] / scale, 0.0) ** 3
    beyond = (root[1] - centre[1]) * scale
    above = chance.shape[1] - np.searchsorted(chance[1], beyond - 1e-12)
    p = np.where(np.isnan(beyond), np.nan, (1 + above) / (1 + chance.shape[1]))
    return Misfit(n, squares[0, :, 0], squares[1, :, 0], critical[0], critical[1], p)


def severity_p(
    raw: ArrayLike, se: ArrayLike, *, margin: float
) -> tuple[Floats, Floats]:
    """Return z and p of each severity against "at most `margin` from the peers".

    Nobody is exactly like the peers, so the hypothesis tested is an interval; p is the
    largest over it, reached at its edges.

    Parameters
    ----------
    raw, se : array_like, shape (n_interviewers,)
        Unshrunken severity and its standard error; NaN gives NaN.
    margin : float
        Half-width of the hypothesis in points, at least 0.

    Returns
    -------
    z, p : ndarray, shape (n_interviewers,)
        Signed distance beyond the margin in standard errors (0 inside it), and the
        two-sided p-value in [0, 1].

    References
    ----------
    Wellek (2010), Testing Statistical Hypotheses of Equivalence, ch. 2.
    """
    raw, se = np.asarray(raw, dtype=np.float64), np.asarray(se, dtype=np.float64)
    size = np.abs(raw)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.sign(raw) * np.clip(size - margin, 0, None) / se
        p = ndtr((margin - size) / se) + ndtr((-margin - size) / se)
    return z, np.clip(p, 0, 1)


def _design(
    score: Floats, candidate: Integers, cell: Integers, interviewer: Integers
) -> _Design:
    """The matrices every step needs, built once."""
    n = score.size
    if not n or not candidate.size == cell.size == interviewer.size == n:
        raise ValueError(
            "score, candidate, cell and interviewer must have one entry per card, got "
            f"{score.size}, {candidate.size}, {cell.size} and {interviewer.size}"
        )
    p, n_cells = int(interviewer.max()) + 1, int(cell.max()) + 1
    rows = np.arange(n)
    columns = sp.csr_matrix(
        (
            np.ones(2 * n),
            (np.tile(rows, 2), np.concatenate([interviewer, p + cell])),
        ),
        shape=(n, p + n_cells),
    )
    key, visit = levels(candidate * n_cells + cell)
    known, visit_candidate = levels(key // n_cells)
    visits = sp.csr_matrix((np.ones(n), (visit, rows)), shape=(key.size, n)) @ columns
    candidates = (
        sp.csr_matrix(
            (np.ones(key.size), (visit_candidate, np.arange(key.size))),
            shape=(known.size, key.size),
        )
        @ visits
    )
    # An interviewer's level and that of the rounds are known only up to a constant in
    # each connected set; `null` spans what the data cannot tell.
    gram = columns.T @ columns
    n_sets, sets = connected_components(gram, directed=False)
    member = np.zeros((p + n_cells, n_sets))
    member[np.arange(p + n_cells), sets] = 1.0
    null = member.copy()
    null[p:] *= -1
    weights = member * gram.diagonal()[:, None]
    weights[p:] = 0.0
    weights /= np.maximum(weights.sum(axis=0), _SMALLEST)
    peers = np.bincount(sets[:p], minlength=n_sets)
    return _Design(
        score=score,
        columns=columns,
        visit=visit,
        visit_candidate=visit_candidate,
        visits=visits.tocsr(),
        candidates=candidates.tocsr(),
        n_interviewers=p,
        gram=sp.coo_array(gram),
        gram_visits=sp.coo_array(visits.T @ visits),
        gram_candidates=sp.coo_array(candidates.T @ candidates),
        null=null,
        weights=weights,
        alone=peers[sets[:p]] < 2,
    )


def _precisions(
    design: _Design, components: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Woodbury weights by visit (size, shrink, t) and by candidate (g)."""
    var_candidate, var_visit, var_resid = components
    size = np.bincount(design.visit).astype(np.float64)
    t = 1 / (var_resid + size * var_visit)
    shrink = var_visit * t / var_resid
    total = np.bincount(design.visit_candidate, size * t)
    g = var_candidate / (1 + var_candidate * total)
    return size, shrink, t, g


def _fitted(design: _Design, components: Floats) -> tuple[Floats, Floats]:
    """Generalised least squares effects and their covariance, weighted mean zero."""
    var_resid = components[2]
    _, shrink, t, g = _precisions(design, components)
    weighted = sp.diags(t) @ design.visits
    by_candidate = _summed(design, weighted)
    normal = (
        design.gram / var_resid
        - design.visits.T @ sp.diags(shrink) @ design.visits
        - by_candidate.T @ sp.diags(g) @ by_candidate
    ).toarray()
    sums = np.bincount(design.visit, design.score)
    over = np.bincount(design.visit_candidate, t * sums)
    right = (
        design.columns.T @ design.score / var_resid
        - design.visits.T @ (shrink * sums)
        - by_candidate.T @ (g * over)
    )
    # The scale of the constraint is free; the diagonal's keeps it well conditioned.
    scale = float(np.mean(np.diagonal(normal))) or 1.0
    empty = np.diagonal(normal) <= 0
    normal += scale * design.weights @ design.weights.T
    normal[empty, empty] = 1.0
    inverse = _inverse(normal)
    effects = inverse @ right
    inverse -= design.null @ (design.null / scale).T
    return effects, inverse


def _settled(design: _Design) -> tuple[Floats, Floats, Floats]:
    """Effects, their covariance and the components that imply each other.

    Each pass closes the same share of the distance; two of them tell where it ends
    (Anderson's mixing of depth one).
    """
    at = _START * max(float(np.var(design.score)), _SMALLEST)
    effects, covariance = _fitted(design, at)
    last: tuple[Floats, Floats] | None = None
    for _ in range(_PASSES):
        found = _components(design, effects, covariance)
        move = found - at
        onward = found
        if last is not None:
            turn = move - last[0]
            share = float(move @ turn) / max(float(turn @ turn), _SMALLEST**2)
            if abs(share) < 10:
                onward = found - share * (found - last[1])
        onward = np.maximum(onward, [0.0, 0.0, found[2] / 2])
        last = move, found
        if np.abs(onward - at).max() <= _SETTLED * found.sum():
            return effects, covariance, onward
        at = onward
        effects, covariance = _fitted(design, at)
    return effects, covariance, at


def _inverse(matrix: Floats) -> Floats:
    """Inverse of a positive definite matrix, of another one where rounding made it."""
    found = positive_inverse(matrix)
    return found if np.isfinite(found[0, 0]) else np.asarray(np.linalg.inv(matrix))


def _summed(design: _Design, by_visit: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of visits added up by candidate."""
    n = design.visit_candidate.size
    return (
        sp.csr_matrix(
            (np.ones(n), (design.visit_candidate, np.arange(n))),
            shape=(int(design.visit_candidate.max()) + 1, n),
        )
        @ by_visit
    )


def _components(design: _Design, effects: Floats, covariance: Floats) -> Floats:
    """Candidate, candidate-in-cell and residual variance from products of residuals.

    The residuals' expected products are those of the scores minus those of the fitted
    effects, whose covariance is known: adding the latter removes their bias.
    """
    residual = design.score - design.columns @ effects
    by_visit = np.bincount(design.visit, residual)
    by_candidate = np.bincount(design.visit_candidate, by_visit)
    size = np.bincount(design.visit).astype(np.float64)
    sizes = np.bincount(design.visit_candidate, size)
    squares = np.array(
        [
            residual @ residual + _product(covariance, design.gram),
            by_visit @ by_visit + _product(covariance, design.gram_visits),
            by_candidate @ by_candidate + _product(covariance, design.gram_candidates),
        ]
    )
    counts = np.array([size.sum(), size @ size, sizes @ sizes])
    total = squares[0] / counts[0]
    pairs, across = counts[1] - counts[0], counts[2] - counts[1]
    var_candidate = (squares[2] - squares[1]) / across if across > 0 else 0.0
    var_candidate = min(max(var_candidate, 0.0), total)
    shared = (squares[1] - squares[0]) / pairs if pairs > 0 else var_candidate
    var_visit = max(min(shared, total) - var_candidate, 0.0)
    var_resid = max(total - var_candidate - var_visit, 1e-3 * total, _SMALLEST)
    return np.array([var_candidate, var_visit, var_resid])


def _product(covariance: Floats, gram: sp.coo_array) -> float:
    """Sum of the products of entries: few columns of a wide panel meet."""
    return float(covariance[gram.row, gram.col] @ gram.data)


def _between(raw: Floats, se: Floats) -> float:
    """Variance between interviewers: where the weighted sum of squares is p − 1."""
    if raw.size < 2:
        return 0.0
    errors = np.maximum(se**2, _SMALLEST)

    def excess(variance: float) -> float:
        weight = 1 / (errors + variance)
        centre = weight @ raw / weight.sum()
        return float(weight @ (raw - centre) ** 2 - (raw.size - 1))

    if excess(0.0) <= 0:
        return 0.0
    high = float(np.var(raw)) * raw.size + 1.0
    return float(brentq(excess, 0.0, high, xtol=1e-10))


def _predicted(raw: Floats, within: Floats, variance: float) -> tuple[Floats, Floats]:
    """Shrunken effects and their posterior standard deviation."""
    if variance == 0:
        return np.zeros_like(raw), np.zeros_like(raw)
    gain = variance * _inverse(within + variance * np.eye(raw.size))
    sd = np.sqrt(np.clip(variance * (1 - np.diagonal(gain)), 0, None))
    return gain @ raw, sd


def _weighted(design: _Design, components: Floats, values: Floats) -> Floats:
    """V⁻¹ times values of shape (n_cards, n_columns)."""
    _, shrink, t, g = (part[:, None] for part in _precisions(design, components))
    of_visit, of_candidate = _members(design)
    sums = of_visit.T @ values
    over = of_candidate.T @ (t * sums)
    weighted = values / components[2] - of_visit @ (
        shrink * sums + t * (of_candidate @ (g * over))
    )
    return np.asarray(weighted)


def _precision(design: _Design, components: Floats) -> Floats:
    """The diagonal of V⁻¹: what each card says that all others do not."""
    _, shrink, t, g = _precisions(design, components)
    visit, candidate = design.visit, design.visit_candidate[design.visit]
    precision: Floats = 1 / components[2] - shrink[visit] - g[candidate] * t[visit] ** 2
    return precision


def _members(design: _Design) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Which visit each card belongs to, and which candidate each visit."""
    return _indicator(design.visit), _indicator(design.visit_candidate)


def _indicator(code: Integers) -> sp.csr_matrix:
    """A one in each row, in the column of its code."""
    rows = np.arange(code.size + 1)
    size = int(code.max(initial=-1)) + 1
    return sp.csr_matrix((np.ones(code.size), code, rows), shape=(code.size, size))


def _drawn(model: _Model, rng: np.random.Generator, n_draws: int) -> Floats:
    """Misfit of cards drawn from the model, shape (n_cards, n_draws)."""
    design, spread = model.design, np.sqrt(model.components)
    of_visit, of_candidate = _members(design)
    visit = spread[1] * rng.standard_normal((of_visit.shape[1], n_draws))
    visit += of_candidate @ (
        spread[0] * rng.standard_normal((of_candidate.shape[1], n_draws))
    )
    score = spread[2] * rng.standard_normal((design.score.size, n_draws))
    score += of_visit @ visit
    weighted = _weighted(design, model.components, score)
    effects = model.covariance @ (design.columns.T @ weighted)
    fitted = design.columns @ effects
    weighted -= _weighted(design, model.components, fitted)
    return weighted / model.precision[:, None]


def _mean_squares(
    model: _Model, judged: NDArray[np.bool_], distance: Floats
) -> tuple[Integers, Floats]:
    """Judged cards by interviewer; their infit and outfit by interviewer and column.

    Rounds differ in how well they can be scored, so squares are told in those of all
    cards of the cell.
    """
    design = model.design
    columns = design.columns[judged]
    p = design.n_interviewers
    squares = distance[judged] ** 2
    precision = model.precision[judged][:, None]
    by_cell, by_interviewer = columns[:, p:], columns[:, :p]
    with np.errstate(invalid="ignore", divide="ignore"):
        usual = (by_cell.T @ (squares * precision)) / by_cell.sum(axis=0).T
        # What is left of a cell that fits exactly is rounding.
        squares = squares / (by_cell @ np.where(usual > _ROUNDING, usual, 1.0))
        n = np.asarray(by_interviewer.sum(axis=0)).ravel()
        infit = (by_interviewer.T @ squares) / (by_interviewer.T @ (1 / precision))
        outfit = (by_interviewer.T @ (squares * precision)) / n[:, None]
    return n.astype(np.int64), np.stack([np.asarray(infit), np.asarray(outfit)])
