"""Variance components of panels drawn from a fit: the parametric bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from orchestration.statistics.crossed import (
    Components,
    Intervals,
    Panel,
    VarianceIntervals,
    panel_weights,
)
from orchestration.statistics.crossed_likelihood import (
    KNEE,
    LARGEST,
    Likelihood,
    indicator,
    likelihood_of,
    position_of,
    ratios_at,
    term_weights,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BOOTSTRAP = "parametric bootstrap"
# Held at a time: some tens of megabytes.
_BATCH = 2_000_000
# Where a search that ended at the boundary starts again, and the least start of others.
_STARTS, _LEAST = (0.03, 5.0), 0.03
_PASSES, _HALVINGS, _STRIDE, _STEP = 60, 20, 2.0, 1e-4
# The search ends where a step moves the criterion by less than this.
_CLOSE = 1e-7
# Below this standard deviation ratio a trace is taken directly: the short form cancels.
_SMALL_ROOT = 0.1


@dataclass(frozen=True)
class Draws:
    """Variance components of panels drawn from a fit.

    Attributes
    ----------
    terms : tuple of str
        The random terms of the fit, then "resid".
    variances : ndarray, shape (n_replicates, n_terms)
        In squared points; NaN for candidates who cannot be told from interviewers.
    is_absolute : bool
        Whether the fit tells the absolute agreement of single ratings.
    """

    terms: tuple[str, ...]
    variances: Floats
    is_absolute: bool = True

    def share(self, weights: Mapping[str, float]) -> Floats:
        """Return candidates' share of a weighted sum of variances, by replicate.

        Parameters
        ----------
        weights : mapping of str to float
            By term and "resid", such as `panel_weights`.

        Returns
        -------
        ndarray, shape (n_replicates,)
            NaN without candidates in the model.
        """
        if "candidate" not in self.terms:
            return np.full(len(self.variances), np.nan)
        weight = np.array([weights[name] for name in self.terms])
        candidate = self.variances[:, self.terms.index("candidate")]
        total = self.variances @ weight
        known = total > 0
        return np.where(known, candidate / np.where(known, total, 1.0), np.nan)

    def icc_single(self) -> Floats:
        """Return candidates' share of the variance of one rating, by replicate.

        Returns
        -------
        ndarray, shape (n_replicates,)
            NaN where the fit's `icc_single` is.
        """
        if not self.is_absolute:
            return np.full(len(self.variances), np.nan)
        return self.share(dict.fromkeys(self.terms, 1.0))


def draw_components(
    fit: Components, *, rng: np.random.Generator, replicates: int = 1000
) -> Draws:
    """Return the components of panels with the fit's design and drawn scores.

    Effects and errors are drawn as normal with the estimated variances; each panel is
    fitted anew. All panels are fitted together: they share every sum but those with the
    scores, and take Newton's steps side by side.

    Parameters
    ----------
    fit : Components
        From `components`.
    rng : numpy.random.Generator
        Draws the scores.
    replicates : int
        How many panels, at least 2.

    Returns
    -------
    Draws
        Without replicates where the fit has no components.

    Raises
    ------
    ValueError
        If `replicates` is below 2 or the fit does not come from `components`.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, sect. 6.5; Bates,
    Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), `bootMer`.
    """
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, got {replicates}")
    if fit._panel is None:
        raise ValueError(f"the fit must come from components, got {fit!r}")
    panel, terms = fit._panel, (*fit.terms, "resid")
    if not fit._ratios:
        return Draws(terms, np.zeros((0, len(terms))))
    likelihood = fit._likelihood or likelihood_of(
        panel.standard, panel.design.columns, panel.chosen
    )
    deviations = np.sqrt(np.array([*fit._ratios, 1.0]) * fit.var_resid)
    size = max(1, _BATCH // max(likelihood.base.size, panel.standard.size))
    parts = []
    for start in range(0, replicates, size):
        n = min(size, replicates - start)
        scores = _drawn(panel, fit._names, deviations / panel.spread, rng, n)
        found = fit_together(likelihood, panel, scores, np.array(fit._ratios))
        parts.append(found * panel.spread**2)
    order = [(*fit._names, "resid").index(name) for name in terms]
    variances = np.concatenate(parts)[:, order]
    if np.isnan(fit.var_candidate) and "candidate" in terms:
        variances[:, terms.index("candidate")] = np.nan
    return Draws(terms, variances, bool(np.isfinite(fit.icc_single)))


def bootstrap_intervals(
    draws: Draws,
    *,
    q_overlap: float,
    k_harmonic: float,
    ratings_per_card: float = 1.0,
    q_question: float | None = None,
    level: float = 0.95,
) -> Intervals:
    """Return percentile limits of `icc_single` and of `g_qk`.

    They check those of the profile likelihood; of small panels they are the worse, as
    draws around an estimate at the boundary keep to it.

    Parameters
    ----------
    draws : Draws
        From `draw_components`.
    q_overlap, k_harmonic, ratings_per_card, q_question : float
        As `q`, `k`, `m` and `q_question` of `g_qk`.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    Intervals
        NaN without draws, or without candidates in the model.
    """
    weights = panel_weights(q_overlap, k_harmonic, q_question, ratings_per_card)
    icc = percentile_limits(draws.icc_single(), level=level)
    g = percentile_limits(draws.share(weights), level=level)
    return Intervals(*icc, *g, BOOTSTRAP)


def bootstrap_variance_intervals(
    draws: Draws, *, level: float = 0.95
) -> VarianceIntervals:
    """Return percentile limits of the variance components.

    Parameters
    ----------
    draws : Draws
        From `draw_components`.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    VarianceIntervals
        In the order of `draws.terms`; NaN without draws.
    """
    found = [percentile_limits(column, level=level) for column in draws.variances.T]
    low, high = np.array(found).T
    return VarianceIntervals(draws.terms, low, high, BOOTSTRAP)


def percentile_limits(values: Floats, *, level: float = 0.95) -> tuple[float, float]:
    """Return the limits that leave out the same share of values on both sides.

    Parameters
    ----------
    values : ndarray, shape (n_replicates,)
        NaN is left out.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    float, float
        NaN without values.
    """
    kept = values[~np.isnan(values)]
    if not kept.size:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def fit_together(
    likelihood: Likelihood, panel: Panel, scores: Floats, start: Floats
) -> Floats:
    """Return the components of many columns of scores of one design.

    Parameters
    ----------
    likelihood : Likelihood
        Of the design, with any scores.
    panel : Panel
        The design.
    scores : ndarray, shape (n_ratings, n_columns)
        No NaN.
    start : ndarray, shape (n_terms,)
        Variance ratios to search from.

    Returns
    -------
    ndarray, shape (n_columns, n_terms + 1)
        Variances in the order of the likelihood's names, then the residual's.
    """
    batch = _batch(likelihood, panel, scores)
    at, deviance = batch.searched(np.maximum(start, _LEAST))
    # A minimum at the boundary may be the second one.
    for ratio in _STARTS:
        again = np.flatnonzero((at <= 0).any(axis=1))
        if again.size:
            elsewhere = np.full(start.size, ratio)
            found, value = batch.only(again).searched(elsewhere)
            better = value < deviance[again] - 1e-7
            at[again[better]], deviance[again[better]] = found[better], value[better]
    ratios = np.where(at < 1e-9, 0.0, ratios_at(at))
    resid = batch.values(ratios)[2]
    return np.asarray(np.column_stack([ratios, np.ones(len(resid))]) * resid[:, None])


def _drawn(
    panel: Panel,
    names: tuple[str, ...],
    deviations: Floats,
    rng: np.random.Generator,
    n: int,
) -> Floats:
    """Standardised scores of n panels, shape (n_ratings, n)."""
    scores = deviations[-1] * rng.standard_normal((panel.standard.size, n))
    for name, deviation in zip(names, deviations[:-1], strict=True):
        level, n_levels = panel.chosen[name]
        scores += deviation * rng.standard_normal((n_levels, n))[level]
    return scores


@dataclass(frozen=True)
class _Batch:
    """Sums of one design with many columns of scores.

    Without the score's, the design's columns have cross-products `inner`, and `table`
    for each term that candidates and pairs are integrated out of; `right` and
    `table_right` are theirs with the scores, `square` and `table_square` the scores'.
    """

    likelihood: Likelihood
    inner: Floats
    right: Floats
    square: Floats
    table: Floats
    table_right: Floats
    table_square: Floats

    def only(self, columns: Integers) -> "_Batch":
        """Return the sums of some columns of scores."""
        return _Batch(
            self.likelihood,
            self.inner,
            self.right[columns],
            self.square[columns],
            self.table,
            self.table_right[:, columns],
            self.table_square[:, columns],
        )

    def values(self, ratios: Floats) -> tuple[Floats, Floats, Floats]:
        """Return criterion, gradient in the ratios and residual variance.

        As `value_at` of one panel, with a leading axis of panels.
        """
        of, terms = self.likelihood, self.likelihood.terms
        n, width, free = len(ratios), self.inner.shape[0], of.degrees
        split = len(of.names) - len(of.blocks)
        weight, constant, slopes = term_weights(
            terms, of.names[:split], ratios[:, :split]
        )
        flat = self.table.reshape(len(self.table), width**2)
        inner = (self.inner.ravel() - weight @ flat).reshape(n, width, width)
        right = self.right - np.einsum("bt,tbw->bw", weight, self.table_right)
        square = self.square - np.einsum("bt,tb->b", weight, self.table_square)
        root, unit = np.ones((n, width)), np.ones(width)
        unit[width - of.n_fixed :] = 0.0
        for block, ratio in zip(of.blocks, ratios[:, split:].T, strict=True):
            root[:, block] = np.sqrt(ratio)[:, None]
        system = inner * root[:, :, None] * root[:, None, :]
        system[:, np.arange(width), np.arange(width)] += unit
        determinant = np.linalg.slogdet(system)[1]
        inverse = np.linalg.inv(system)
        effect = root * _times(inverse, root * right)
        rest = (
            np.maximum(square - np.sum(effect * right, axis=1), 0.0) + of.noise * of.n
        )
        deviance = constant + determinant
        deviance = deviance + free * (1 + np.log(2 * np.pi * rest / free))
        precision = free / rest
        gradient = np.empty((n, len(of.names)))
        if slopes:
            mixed = inverse * root[:, :, None] * root[:, None, :]
            mixed += precision[:, None, None] * effect[:, :, None] * effect[:, None, :]
            told = self.table_square - 2 * np.einsum(
                "bw,tbw->tb", effect, self.table_right
            )
            by_term = mixed.reshape(n, width**2) @ flat.T + (precision * told).T
            for k, (slope, own) in enumerate(slopes):
                gradient[:, k] = own - np.sum(by_term * slope, axis=1)
        left = right - _times(inner, effect)
        for k, block in enumerate(of.blocks, start=split):
            trace = _traces(inner, inverse, root, block)
            gradient[:, k] = trace - precision * np.sum(left[:, block] ** 2, axis=1)
        return deviance, gradient, rest / free

    def at(self, position: Floats) -> tuple[Floats, Floats]:
        """Return criterion and gradient in search coordinates."""
        ratios = ratios_at(position)
        deviance, gradient, _ = self.values(ratios)
        return deviance, gradient * (ratios + KNEE)

    def searched(self, ratios: Floats) -> tuple[Floats, Floats]:
        """Return search coordinates and criterion at the minimum from a start."""
        at = np.tile(position_of(ratios), (len(self.square), 1))
        deviance, slope = self.at(at)
        left = np.arange(len(at))
        for _ in range(_PASSES):
            batch = self.only(left)
            step, gain = batch.step(at[left], slope[left])
            moved = batch.moved(at[left], deviance[left], step)
            at[left], deviance[left], slope[left] = moved
            left = left[gain > _CLOSE]
            if not left.size:
                break
        return at, deviance

    def step(self, at: Floats, slope: Floats) -> tuple[Floats, Floats]:
        """Return Newton's step within the bounds, and what it gains."""
        rows = []
        for k in range(at.shape[1]):
            ahead = at.copy()
            ahead[:, k] += _STEP
            rows.append((self.at(ahead)[1] - slope) / _STEP)
        bend = np.stack(rows, axis=1)
        bend = (bend + bend.transpose(0, 2, 1)) / 2
        held = ((at <= 0) & (slope > 0)) | ((at >= LARGEST) & (slope < 0))
        bend[held[:, :, None] | held[:, None, :]] = 0.0
        values, vectors = np.linalg.eigh(bend)
        size = np.abs(values)
        size = np.maximum(size, 1e-3 * size.max(axis=1, keepdims=True) + 1e-12)
        free = np.where(held, 0.0, slope)
        along = np.einsum("bij,bi->bj", vectors, free)
        step = -np.einsum("bij,bj->bi", vectors, along / size)
        step, gain = _bounded(at, np.where(held, 0.0, step), free)
        # Cut off at the bounds a step may lead uphill; down the slope none does.
        uphill = gain <= 0
        steepest = -free / size.max(axis=1, keepdims=True)
        again, gained = _bounded(at, steepest, free)
        return np.where(uphill[:, None], again, step), np.where(uphill, gained, gain)

    def moved(
        self, at: Floats, deviance: Floats, step: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return where the step leads, halved until the criterion does not rise."""
        new = at + step
        value, slope = self.at(new)
        for _ in range(_HALVINGS):
            worse = np.flatnonzero(value > deviance + 1e-9)
            if not worse.size:
                break
            step[worse] /= 2
            new[worse] = at[worse] + step[worse]
            value[worse], slope[worse] = self.only(worse).at(new[worse])
        return new, value, slope


def _batch(likelihood: Likelihood, panel: Panel, scores: Floats) -> _Batch:
    """The design's sums with columns of scores in the place of its own."""
    width, terms = likelihood.base.shape[0] - 1, likelihood.terms
    columns = panel.columns()
    table = np.zeros((terms.pattern.size, (width + 1) ** 2))
    dense = terms.table.toarray() if sp.issparse(terms.table) else terms.table
    table[:, terms.cells] = dense
    table = table.reshape(-1, width + 1, width + 1)[:, :width, :width]
    right, square = _with_scores(likelihood, panel, columns, scores)
    return _Batch(
        likelihood=likelihood,
        inner=np.ascontiguousarray(likelihood.base[:width, :width]),
        right=np.asarray((columns.T @ scores).T),
        square=np.einsum("nb,nb->b", scores, scores),
        table=np.ascontiguousarray(table),
        table_right=right,
        table_square=square,
    )


def _with_scores(
    likelihood: Likelihood, panel: Panel, columns: sp.csr_array, scores: Floats
) -> tuple[Floats, Floats]:
    """Each term's cross-products of columns and scores, and of scores."""
    terms, grouped = likelihood.terms, likelihood.terms.grouped
    kinds, shape = grouped.size.size, (terms.pattern.size, scores.shape[1])
    right, square = np.zeros((*shape, columns.shape[1])), np.zeros(shape)
    by_kind = grouped.candidate * kinds + grouped.kind[grouped.pair]
    of_kind = indicator(by_kind, grouped.n_candidates * kinds)
    of_pair = indicator(grouped.pair, grouped.n_pairs)
    sums = [(of @ columns, of @ scores) for of in (of_kind, of_pair)]
    keys = zip(terms.pattern, terms.first, terms.second, strict=True)
    for t, (p, a, b) in enumerate(keys):
        if p < 0:
            rows = np.flatnonzero(grouped.kind == a)
            right[t] = (sums[1][0][rows].T @ sums[1][1][rows]).T
            square[t] = np.sum(sums[1][1][rows] ** 2, axis=0)
            continue
        members = np.flatnonzero(grouped.pattern == p) * kinds
        for one, other in {(a, b), (b, a)}:
            left, drawn = sums[0][0][members + one], sums[0][1][members + other]
            right[t] += (left.T @ drawn).T
            square[t] += np.sum(sums[0][1][members + one] * drawn, axis=0)
    return right, square


def _bounded(at: Floats, step: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """A step shortened, cut off at the bounds, and what it gains."""
    longest = np.abs(step).max(axis=1, keepdims=True)
    step = step * np.minimum(1.0, _STRIDE / np.maximum(longest, 1e-300))
    step = np.clip(at + step, 0.0, LARGEST) - at
    return step, -np.sum(step * slope, axis=1)


def _times(matrix: NDArray[Any], vector: NDArray[Any]) -> Floats:
    return np.asarray(np.matmul(matrix, vector[:, :, None])[:, :, 0])


def _traces(inner: Floats, inverse: NDArray[Any], root: Floats, block: slice) -> Floats:
    """Traces of a block's cross-products with the other effects projected out."""
    at, size = root[:, block.start], block.stop - block.start
    own = np.diagonal(inverse, axis1=1, axis2=2)[:, block].sum(axis=1)
    trace = (size - own) / np.where(at > _SMALL_ROOT, at, 1.0) ** 2
    small = np.flatnonzero(at <= _SMALL_ROOT)
    if small.size:
        rows = inner[small][:, block] * root[small][:, None, :]
        direct = np.diagonal(inner[small], axis1=1, axis2=2)[:, block].sum(axis=1)
        trace[small] = direct - np.sum(np.matmul(rows, inverse[small]) * rows, (1, 2))
    return np.asarray(trace)
