"""What a fit says of each round, candidate and interviewer: BLUE and BLUP."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.sparse.linalg import cg

from orchestration.statistics.crossed import Components, Panel
from orchestration.statistics.crossed_likelihood import indicator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Levels whose dependence on the rest is held at a time: some tens of megabytes.
_BATCH = 4_000_000
# What conjugate gradients leave of the equations' right side.
_EXACT = 1e-13


@dataclass(frozen=True)
class FixedEffects:
    """Best linear unbiased estimates of the fixed effects.

    Attributes
    ----------
    names : tuple of str
        "intercept", "covariate 0" …, "factor 0 = 3" …: a column of the design each.
    estimate, se : ndarray, shape (n_columns,)
        Generalised least squares estimates in points and their standard errors, as
        lme4 prints them: the variance components are taken as known. NaN for a column
        that others explain, and standard errors NaN without components.
    covariance : ndarray, shape (n_columns, n_columns)
        Of the estimates, in squared points.
    dropped : tuple of int
        Indices of the columns that those before them explain.
    mean, mean_se : float
        What the estimates make of the ratings' average design, and its standard error.
    """

    names: tuple[str, ...]
    estimate: Floats
    se: Floats
    covariance: Floats
    dropped: tuple[int, ...]
    mean: float
    mean_se: float


@dataclass(frozen=True)
class Effects:
    """Best linear unbiased predictions of the levels of one random term.

    Attributes
    ----------
    level : ndarray, shape (n_levels,) or (n_levels, 2)
        Codes as given to `components`, ascending; candidate and interviewer of a card.
    estimate : ndarray, shape (n_levels,)
        Points above the mean.
    conditional_se : ndarray, shape (n_levels,)
        Root of the conditional variance given the scores with the fixed effects taken
        as known: lme4's `condVar`.
    prediction_se : ndarray, shape (n_levels,)
        Root of Henderson's prediction error variance, var(estimate − effect), which
        has the uncertainty of the fixed effects in it: at least `conditional_se`.
    """

    level: NDArray[np.generic]
    estimate: Floats
    conditional_se: Floats
    prediction_se: Floats


def fixed_effects(fit: Components) -> FixedEffects:
    """Return the estimates of intercept, covariates and factors.

    Parameters
    ----------
    fit : Components
        From `components`.

    Returns
    -------
    FixedEffects
        By column of the design.

    Raises
    ------
    ValueError
        If the fit does not come from `components`.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447.
    """
    panel = _panel_of(fit)
    design, p = panel.design, panel.design.kept.size
    width, mean, mean_se = len(design.names), fit.intercept, float("nan")
    estimate, covariance = np.full(width, np.nan), np.full((width, width), np.nan)
    if fit._ratios:
        known = _ratios(fit)
        system = _system(panel, _given_columns(panel, known), known)
        within = fit.var_resid * system.inverse()[-p:, -p:]
        turned = solve_triangular(design.triangle, np.eye(p))
        estimate[design.kept] = panel.estimates(system.effect[-p:])
        covariance[np.ix_(design.kept, design.kept)] = turned @ within @ turned.T
        # The other columns are orthogonal to the first: on average they are zero.
        mean = float(panel.least_squares[0] + panel.spread * system.effect[-p])
        mean_se = float(np.sqrt(within[0, 0]))
    elif fit.n_ratings:
        estimate[design.kept] = panel.estimates()
        mean = float(panel.least_squares[0])
    se = np.sqrt(np.diagonal(covariance))
    return FixedEffects(
        design.names, estimate, se, covariance, design.dropped, mean, mean_se
    )


def interviewer_effects(fit: Components, interviewer: NDArray[np.generic]) -> Floats:
    """Return what each interviewer adds to a score, as predicted by `random_effects`.

    Errors, which take most of the time of wide panels, are not formed, nor is a factor
    of the equations: conjugate gradients end in some dozens of sparse products.

    Parameters
    ----------
    fit : Components
        From `components`.
    interviewer : ndarray, shape (n,)
        Codes as given to `components`, or of others.

    Returns
    -------
    ndarray, shape (n,)
        Points; 0 for interviewers that the fit does not know or tell apart.

    Raises
    ------
    ValueError
        If the fit does not come from `components`.
    """
    panel, known = _panel_of(fit), _ratios(fit)
    if "interviewer" not in known:
        return np.zeros(interviewer.size)
    found = _iterated(*_equations(panel, _given_columns(panel, known), known))
    effect = panel.spread * found[_blocks(panel)["interviewer"]]
    level = _labels(panel, "interviewer")
    place = np.minimum(np.searchsorted(level, interviewer), level.size - 1)
    return np.where(level[place] == interviewer, effect[place], 0.0)


def random_effects(fit: Components) -> dict[str, Effects]:
    """Return the predictions of every random term's levels, with their errors.

    Interviewers and questions are read off the mixed model's equations; candidates and
    cards follow from them one by one, so nothing of the size of candidates × candidates
    is formed. The variance components are taken as known.

    Parameters
    ----------
    fit : Components
        From `components`.

    Returns
    -------
    dict of str to Effects
        By term of `fit.terms` whose variance is known; 0 with error 0 where it is 0.

    Raises
    ------
    ValueError
        If the fit does not come from `components`.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447; Robinson (1991), Stat. Sci. 6, 15-32;
    Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), sect. 5.
    """
    panel = _panel_of(fit)
    if not fit._ratios:
        return {}
    known = _ratios(fit)
    given = _given_columns(panel, known)
    system = _system(panel, given, known)
    errors = _errors(system, panel.design.kept.size)
    blocks = _blocks(panel)
    posterior = _posterior(given)
    scale, found = np.sqrt(fit.var_resid), {}
    for name in fit.terms:
        if np.isnan(getattr(fit, f"var_{name}")):
            continue
        if name in blocks:
            block = blocks[name]
            estimate = system.effect[block]
            squares = [np.diagonal(error)[block] for error in errors]
        else:
            part = posterior[name]
            estimate = part.mean(system.effect)
            squares = [part.variance(error) for error in errors]
        conditional, prediction = (
            scale * np.sqrt(np.maximum(square, 0.0)) for square in squares
        )
        found[name] = Effects(
            _labels(panel, name), panel.spread * estimate, conditional, prediction
        )
    return found


def _panel_of(fit: Components) -> Panel:
    if fit._panel is None:
        raise ValueError(f"the fit must come from components, got {fit!r}")
    return fit._panel


def _ratios(fit: Components) -> dict[str, float]:
    """Variances over the residual's, by term."""
    return dict(zip(fit._names, fit._ratios, strict=True))


def _blocks(panel: Panel) -> dict[str, slice]:
    """Where the levels of interviewers and questions stand among the columns."""
    blocks, width = {}, 0
    for name in ("interviewer", "question"):
        if name in panel.chosen:
            size = panel.chosen[name][1]
            blocks[name] = slice(width, width + size)
            width += size
    return blocks


@dataclass(frozen=True)
class _Given:
    """Sums of cards and candidates, and what is left of them given the columns.

    A card of m ratings has precision w = 1 / (1 + m r) for each (r: ratio of the
    interaction), a candidate h = Σ m w over the cards. `left` is the variance of cards,
    `shrunk` that of candidates given the columns' effects; the sums of candidates are
    weighted by w.
    """

    columns: sp.csr_array
    card_columns: sp.csr_array
    card_scores: Floats
    candidate_columns: sp.csr_array
    candidate_scores: Floats
    size: Floats
    owner: Integers
    left: Floats
    shrunk: Floats


def _given_columns(panel: Panel, known: dict[str, float]) -> _Given:
    n = panel.standard.size
    columns = panel.columns()
    between, within = known.get("candidate", 0.0), known.get("cand_x_int", 0.0)
    candidate, n_candidates = panel.chosen.get(
        "candidate", (np.zeros(n, dtype=np.int64), 1)
    )
    # Without the interaction every rating is a card of its own.
    card, n_cards = panel.chosen.get("cand_x_int", (np.arange(n), n))
    size = np.bincount(card, minlength=n_cards).astype(np.float64)
    w = 1 / (1 + within * size)
    owner = np.zeros(n_cards, dtype=np.int64)
    owner[card] = candidate
    of_card, of_candidate = indicator(card, n_cards), indicator(owner, n_candidates)
    card_columns = sp.csr_array(of_card @ columns)
    card_scores = of_card @ panel.standard
    return _Given(
        columns=columns,
        card_columns=card_columns,
        card_scores=card_scores,
        candidate_columns=sp.csr_array(of_candidate @ _scaled(card_columns, w)),
        candidate_scores=of_candidate @ (w * card_scores),
        size=size,
        owner=owner,
        left=within * w,
        shrunk=between / (1 + between * (of_candidate @ (size * w))),
    )


@dataclass(frozen=True)
class _System:
    """The mixed model's equations over levels and fixed effects, solved.

    `root` holds the roots of the columns' ratios, 1 for fixed effects; `factor` is the
    lower Cholesky factor of the equations scaled by it, so that a ratio may be 0.
    """

    root: Floats
    factor: Floats
    effect: Floats

    def inverse(self) -> Floats:
        """Return the inverse of the scaled equations."""
        return np.asarray(cho_solve((self.factor, True), np.eye(self.root.size)))


def _equations(
    panel: Panel, given: _Given, known: dict[str, float]
) -> tuple[sp.csr_array, Floats, Floats]:
    """The mixed model's equations scaled by `root`, their right side, and `root`.

    Candidates and cards are integrated out, by products of sparse matrices: few
    interviewers of a wide panel meet.
    """
    inner, right = given.columns.T @ given.columns, given.columns.T @ panel.standard
    for columns, scores, weight in (
        (given.card_columns, given.card_scores, given.left),
        (given.candidate_columns, given.candidate_scores, given.shrunk),
    ):
        inner = inner - columns.T @ _scaled(columns, weight)
        right = right - columns.T @ (weight * scores)
    root, unit = np.ones(right.size), np.zeros(right.size)
    for name, block in _blocks(panel).items():
        root[block], unit[block] = np.sqrt(known[name]), 1.0
    scale = sp.diags_array(root)
    scaled = sp.csr_array(scale @ inner @ scale + sp.diags_array(unit))
    return scaled, root * right, root


def _system(panel: Panel, given: _Given, known: dict[str, float]) -> _System:
    """The equations at the estimate, factored and solved."""
    scaled, right, root = _equations(panel, given, known)
    factor = cholesky(scaled.toarray(), lower=True)
    return _System(root, factor, root * cho_solve((factor, True), right))


def _iterated(scaled: sp.csr_array, right: Floats, root: Floats) -> Floats:
    """Solution of the equations by conjugate gradients, to rounding."""
    found, failed = cg(
        scaled, right, rtol=_EXACT, M=sp.diags_array(1 / scaled.diagonal())
    )
    if failed:
        found = np.linalg.solve(scaled.toarray(), right)
    return np.asarray(root * found)


def _errors(system: _System, n_fixed: int) -> tuple[Floats, Floats]:
    """Errors' covariance over columns, fixed effects known and estimated."""
    estimated = system.inverse() * np.outer(system.root, system.root)
    fixed = estimated[:, -n_fixed:]
    known = estimated - fixed @ np.linalg.solve(fixed[-n_fixed:], fixed.T)
    return known, estimated


@dataclass(frozen=True)
class _Posterior:
    """Effects given those of all columns: at + slope × columns' effects ± own.

    `own` is their variance over the residual's when the columns' effects are known.
    """

    at: Floats
    slope: sp.csr_array
    own: Floats

    def mean(self, effect: Floats) -> Floats:
        return np.asarray(self.at + self.slope @ effect)

    def variance(self, error: Floats) -> Floats:
        """Variance over the residual's, by law of total variance."""
        parts = [
            np.einsum("ij,ij->i", np.asarray(rows @ error), rows.toarray())
            for rows in self._batches(error.shape[0])
        ]
        return np.asarray(self.own + np.concatenate(parts))

    def _batches(self, width: int) -> Iterator[sp.csr_array]:
        step = max(1, _BATCH // max(width, 1))
        for start in range(0, self.own.size, step):
            yield self.slope[start : start + step]


def _posterior(given: _Given) -> dict[str, _Posterior]:
    """Candidates and cards given interviewers, questions and fixed effects."""
    shrunk, left = given.shrunk, given.left
    candidates = _Posterior(
        at=shrunk * given.candidate_scores,
        slope=-_scaled(given.candidate_columns, shrunk),
        own=shrunk,
    )
    back = left * given.size
    cards = _Posterior(
        at=left * given.card_scores - back * candidates.at[given.owner],
        slope=-_scaled(given.card_columns, left)
        - _scaled(sp.csr_array(candidates.slope[given.owner]), back),
        own=left + back**2 * shrunk[given.owner],
    )
    return {"candidate": candidates, "cand_x_int": cards}


def _scaled(rows: sp.csr_array, weight: Floats) -> sp.csr_array:
    return sp.csr_array(sp.diags_array(weight) @ rows)


def _labels(panel: Panel, name: str) -> NDArray[np.generic]:
    """Codes of a term's levels as they were given."""
    if name != "cand_x_int":
        return np.asarray(np.unique(panel.codes[name]))
    level, n_levels = panel.chosen[name]
    first = np.zeros(n_levels, dtype=np.int64)
    first[level] = np.arange(level.size)
    both = (panel.codes["candidate"], panel.codes["interviewer"])
    return np.column_stack([code[first] for code in both])
