"""Crossed random effects by REML for panels too wide for dense factors.

A dense factor costs the cube of the number of interviewers. Here candidates and their
pairs with interviewers are integrated out in closed form, interviewers are solved for
by conjugate gradients, questions and the mean by what is left. Traces are exact to
second order in shared candidates; only the rest is estimated, with fixed signs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from orchestration.statistics.codes import levels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Places = NDArray[Any]

# Interviewers' and questions' ratios end here: a ten-thousandth of the residual.
_FLOOR, _CEILING = 1e-4, 1e6
_KNEE = 0.05
_START = {"candidate": 0.5, "interviewer": 0.1, "question": 0.05, "cand_x_int": 0.2}
_PASSES, _STRIDE = 60, 1.5
# The search ends a thousandth of a standard error from the maximum.
_CLOSE = 1e-6
# Signs are added until they move no estimate by more than this, in standard errors.
_NOISE = 0.005
_SIGNS, _MOST_SIGNS = 8, 512
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Fit:
    """Where the restricted likelihood is largest.

    Attributes
    ----------
    names : tuple of str
        The random terms.
    ratios : ndarray, shape (n_terms,)
        Variances over the residual's; 0 at the boundary.
    gradient : ndarray, shape (n_terms,)
        Of −2 log restricted likelihood in the ratios: positive at the boundary.
    information : ndarray, shape (n_terms, n_terms)
        Average of observed and expected second derivatives of −2 log restricted
        likelihood in the ratios, residual profiled out.
    intercept, var_resid : float
        Mean and residual variance.
    noise : float
        Largest error of an estimate by the estimated part of the traces, in its
        standard errors.
    converged : bool
        Whether the search came to an end.
    """

    names: tuple[str, ...]
    ratios: Floats
    gradient: Floats
    information: Floats
    intercept: float
    var_resid: float
    noise: float
    converged: bool


@dataclass(frozen=True)
class _Panel:
    """Cards: the ratings of one candidate by one interviewer, as their mean.

    `extra` are the columns beside the interviewers: questions, then the mean; what
    ratings tell of questions inside a card is in the `within` sums. `links` are the
    interviewers who share a candidate.
    """

    names: tuple[str, ...]
    n: int
    size: Floats
    mean: Floats
    candidate: Integers
    interviewer: Integers
    starts: Integers
    n_interviewers: int
    extra: Floats
    first: Integers
    second: Integers
    links: "_Links"
    by_interviewer: sp.csr_array
    within_questions: Floats
    within_scores: Floats
    within_squares: float


@dataclass(frozen=True)
class _Score:
    """Gradient and average information in the ratios, with the mean and residual."""

    gradient: Floats
    information: Floats
    error: Floats
    intercept: float
    var_resid: float


def fit_sparse(
    score: Floats,
    candidate: Integers,
    interviewer: Integers,
    question: Integers | None,
    *,
    names: tuple[str, ...],
) -> Fit:
    """Return the restricted maximum likelihood fit of the terms named.

    The average-information algorithm: Newton steps with the mean of observed and
    expected information, in coordinates where the boundary is an ordinary bound.

    Parameters
    ----------
    score : ndarray, shape (n_ratings,)
        Standardised scores; no NaN.
    candidate, interviewer, question : ndarray of int, shape (n_ratings,)
        Codes from 0 without gaps.
    names : tuple of str
        Terms of the model; "interviewer" among them.

    Returns
    -------
    Fit
        In squared standardised points.

    References
    ----------
    Gilmour, Thompson & Cullis (1995), Biometrics 51, 1440-1450, for the algorithm;
    Hutchinson (1989), Commun. Stat. Simul. 18, 1059-1076, for the traces' rest.
    """
    panel = _panel(score, candidate, interviewer, question, names)
    ratios = np.array([_START[name] for name in names])
    n_signs, at = _SIGNS, np.log1p(ratios / _KNEE)
    floor, ceiling = np.log1p(np.array([_FLOOR, _CEILING]) / _KNEE)
    found, noise = _score(panel, ratios, n_signs), float("nan")
    for _ in range(_PASSES):
        scale = ratios + _KNEE
        slope = found.gradient * scale
        # At the floor only what leads away from it is free.
        free = (at > floor) | (slope < 0)
        covariance = _inverse(found.information * np.outer(scale, scale), free)
        step = -covariance @ slope
        if -step @ slope < _CLOSE:
            noise = _moved(found.error * scale, covariance)
            if noise < _NOISE or n_signs >= _MOST_SIGNS:
                return _ended(panel, ratios, found, noise=noise, converged=True)
            n_signs *= 4
        else:
            at = np.clip(at + np.clip(step, -_STRIDE, _STRIDE), floor, ceiling)
            ratios = _KNEE * np.expm1(at)
        found = _score(panel, ratios, n_signs)
    return _ended(panel, ratios, found, noise=noise, converged=False)


def _ended(
    panel: _Panel, ratios: Floats, found: _Score, *, noise: float, converged: bool
) -> Fit:
    return Fit(
        names=panel.names,
        ratios=np.where(ratios <= 1.01 * _FLOOR, 0.0, ratios),
        gradient=found.gradient,
        information=found.information,
        intercept=found.intercept,
        var_resid=found.var_resid,
        noise=noise,
        converged=converged,
    )


def _moved(error: Floats, covariance: Floats) -> float:
    """How far the signs' errors move an estimate, in its standard errors."""
    moved = np.sqrt(covariance**2 @ error**2)
    own = np.sqrt(2 * np.diagonal(covariance))
    return float(np.max(moved[own > 0] / own[own > 0], initial=0.0))


def _inverse(information: Floats, free: NDArray[np.bool_]) -> Floats:
    """Inverse among the free, zero elsewhere; flat directions are made steep."""
    inside = np.ix_(free, free)
    values, vectors = np.linalg.eigh(information[inside])
    values = np.maximum(np.abs(values), 1e-8 * np.abs(values).max(initial=1e-300))
    inverse = np.zeros_like(information)
    inverse[inside] = (vectors / values) @ vectors.T
    return inverse


def _panel(
    score: Floats,
    candidate: Integers,
    interviewer: Integers,
    question: Integers | None,
    names: tuple[str, ...],
) -> _Panel:
    """Cards by candidate, pairs of cards of one candidate, sums within cards."""
    n_interviewers = int(interviewer.max()) + 1
    key, card = levels(candidate * n_interviewers + interviewer)
    size = np.bincount(card).astype(np.float64)
    mean = np.bincount(card, score) / size
    owner, rater = key // n_interviewers, key % n_interviewers
    extra, gram, right = np.ones((key.size, 1)), np.zeros((0, 0)), np.zeros(0)
    if question is not None and "question" in names:
        n_questions = int(question.max()) + 1
        asked = np.bincount(
            card * n_questions + question, minlength=key.size * n_questions
        ).reshape(key.size, n_questions).astype(np.float64)  # fmt: skip
        total = np.bincount(question, minlength=n_questions).astype(np.float64)
        gram = np.diag(total) - asked.T @ (asked / size[:, None])
        right = np.bincount(question, score, n_questions) - asked.T @ mean
        extra = np.hstack([asked / size[:, None], extra])
    first, second = _card_pairs(owner)
    return _Panel(
        names=names,
        n=score.size,
        size=size,
        mean=mean,
        candidate=owner,
        interviewer=rater,
        starts=np.searchsorted(owner, np.arange(int(candidate.max()) + 1)),
        n_interviewers=n_interviewers,
        extra=extra,
        first=first,
        second=second,
        links=_Links.of(rater[first], rater[second], n_interviewers),
        by_interviewer=sp.csr_array(
            (np.ones(key.size), (rater, np.arange(key.size))),
            shape=(n_interviewers, key.size),
        ),
        within_questions=gram,
        within_scores=right,
        within_squares=max(float(score @ score - size @ mean**2), 0.0),
    )


def _card_pairs(owner: Integers) -> tuple[Integers, Integers]:
    """Every two different cards of one candidate, once; `owner` is ascending."""
    place = np.arange(owner.size)
    count = np.bincount(owner)
    later = (np.cumsum(count)[owner] - 1 - place).astype(np.int64)
    first = np.repeat(place, later)
    offset = np.arange(first.size) - np.repeat(np.cumsum(later) - later, later)
    return first, first + 1 + offset


@dataclass(frozen=True)
class _Weights:
    """Precision of cards, and of candidates given their cards, at some ratios."""

    panel: _Panel
    card: Floats
    shrink: Floats
    given: Floats

    def solve(self, x: Floats) -> Floats:
        """Return inverse covariance of cards, interviewers apart, times columns."""
        weighted = (self.card * x.T).T
        shared = _by_candidate(self.panel, weighted)
        shared = (self.given * shared.T).T[self.panel.candidate]
        return np.asarray(weighted - (self.card * shared.T).T)


def _by_candidate(panel: _Panel, x: Floats) -> Floats:
    """Sums over the cards of each candidate; cards are in their order."""
    return np.asarray(np.add.reduceat(x, panel.starts, axis=0))


def _weights(panel: _Panel, known: dict[str, float]) -> _Weights:
    between, within = known.get("candidate", 0.0), known.get("cand_x_int", 0.0)
    card = panel.size / (1 + within * panel.size)
    shrink = 1 / (1 + between * _by_candidate(panel, card))
    return _Weights(panel, card, shrink, between * shrink)


@dataclass(frozen=True)
class _Links:
    """Cells of a matrix over interviewers that pairs of cards fill, in row order.

    `starts` are those of rows; `upper` and `lower` are the two cells of each pair.
    """

    row: Places
    column: Places
    starts: Places
    upper: Integers
    lower: Integers

    @classmethod
    def of(cls, first: Integers, second: Integers, n: int) -> "_Links":
        """Return the cells of pairs of n interviewers."""
        both = np.concatenate([first * n + second, second * n + first])
        cell, place = levels(both)
        # Places of the width that sparse matrices have: they would copy others.
        size = np.int32 if cell.size < 2**31 else np.int64
        row, column = (cell // max(n, 1)).astype(size), (cell % max(n, 1)).astype(size)
        starts = np.searchsorted(row, np.arange(n + 1)).astype(size)
        return cls(row, column, starts, place[: first.size], place[first.size :])

    def matrix(self, pair: Floats) -> sp.csr_array:
        """Return the symmetric sums of values by pair; every cell is stored."""
        n, size = self.starts.size - 1, self.row.size
        value = np.bincount(self.upper, pair, size)
        value = value + np.bincount(self.lower, pair, size)
        return sp.csr_array((value, self.column, self.starts), shape=(n, n))


@dataclass(frozen=True)
class _Symmetric:
    """A matrix over interviewers: its diagonal, and what cards of one candidate add."""

    diagonal: Floats
    shared: sp.csr_array | None

    def times(self, x: Floats) -> Floats:
        """Return the product with columns."""
        return np.asarray((self.diagonal * x.T).T + self.across(x))

    def across(self, x: Floats) -> Floats:
        """Return the product with columns, without the diagonal."""
        return np.zeros_like(x) if self.shared is None else self.shared @ x


def _over_interviewers(panel: _Panel, own: Floats, pair: Floats) -> _Symmetric:
    """From a value of each card and of each pair of cards."""
    diagonal = np.bincount(panel.interviewer, own, panel.n_interviewers)
    return _Symmetric(diagonal.astype(np.float64), panel.links.matrix(pair))


@dataclass(frozen=True)
class _Series:
    """The system's inverse as D⁻¹ + D⁻¹OD⁻¹ + D⁻¹OD⁻¹OD⁻¹ + …, D − O the system.

    `inverse` is D⁻¹, `once` the cells of the second term, `squared` the diagonal of the
    third. The signs' answers less both terms are `left`; `third` is theirs alone.
    """

    inverse: Floats
    once: Floats
    squared: Floats
    left: Floats
    third: Floats

    @classmethod
    def of(cls, system: _Symmetric, links: _Links, z: Floats, y: Floats) -> "_Series":
        """Return the terms for signs and the system's answers to them."""
        d, n = 1 / system.diagonal, system.diagonal.size
        shared = np.zeros(0) if system.shared is None else system.shared.data
        once = -shared * d[links.row] * d[links.column]
        squared = np.bincount(links.row, shared**2 * d[links.column], n) * d**2
        powers = [(d * z.T).T]
        for _ in range(2):
            powers.append(-(d * system.across(powers[-1]).T).T)
        return cls(d, once, squared, y - powers[0] - powers[1], powers[2])


@dataclass(frozen=True)
class _Point:
    """What gradient and information share at some ratios.

    The system is D − O over interviewers, bordered by the panel's extra columns:
    `spread` is what the borders look like once interviewers are solved for, `rest` the
    factor of what is left; `answers` are the system's solutions of random `signs`.
    """

    panel: _Panel
    known: dict[str, float]
    weights: _Weights
    system: _Symmetric
    solved_extra: Floats
    border: Floats
    spread: Floats
    rest: tuple[Floats, bool]
    signs: Floats
    answers: Floats
    effect: Floats
    beta: Floats
    residual: Floats
    var_resid: float

    def traces(self) -> tuple[Floats, Floats]:
        """Each term's trace in the projected inverse covariance, and its error."""
        found = {
            "candidate": self._candidate_trace,
            "cand_x_int": self._card_trace,
            "interviewer": self._interviewer_trace,
            "question": self._question_trace,
        }
        series = _Series.of(self.system, self.panel.links, self.signs, self.answers)
        pairs = [found[name](series) for name in self.panel.names]
        return np.array([v for v, _ in pairs]), np.array([e for _, e in pairs])

    def _interviewer_trace(self, series: _Series) -> tuple[float, float]:
        ratio, n = self.known["interviewer"], self.panel.n_interviewers
        one = _Symmetric(np.ones(n), None)
        none = np.zeros_like(self.border)
        value, error = self._trace(series, one, none, none.T @ none)
        return (n - value / ratio) / ratio, error / ratio**2

    def _question_trace(self, _: _Series) -> tuple[float, float]:
        ratio, n = self.known["question"], self.panel.within_scores.size
        inverse = cho_solve(self.rest, np.eye(self.border.shape[1]))
        return (n - float(np.trace(inverse[:n, :n])) / ratio) / ratio, 0.0

    def _candidate_trace(self, series: _Series) -> tuple[float, float]:
        panel, w, shrink = self.panel, self.weights.card, self.weights.shrink
        c, a, b = panel.candidate, panel.first, panel.second
        over = _over_interviewers(
            panel, (w * shrink[c]) ** 2, shrink[c[a]] ** 2 * w[a] * w[b]
        )
        shared = _by_candidate(panel, (w * panel.extra.T).T)
        shared = (shrink * shared.T).T
        mixed = panel.by_interviewer @ ((w * shrink[c]) * shared[c].T).T
        value, error = self._trace(series, over, mixed, shared.T @ shared)
        return float(_by_candidate(panel, w) @ shrink) - value, error

    def _card_trace(self, series: _Series) -> tuple[float, float]:
        panel, w = self.panel, self.weights.card
        given = self.weights.given[panel.candidate]
        a, b = panel.first, panel.second
        squares = _by_candidate(panel, w**2)[panel.candidate]
        own = w**2 - 2 * given * w**3 + given**2 * squares * w**2
        pair = w[a] * w[b] * given[a] * (given[a] * squares[a] - w[a] - w[b])
        mixed = panel.by_interviewer @ self.weights.solve(self.solved_extra)
        corner = self.solved_extra.T @ self.solved_extra
        over = _over_interviewers(panel, own, pair)
        value, error = self._trace(series, over, mixed, corner)
        return float(np.sum(w - given * w**2)) - value, error

    def _trace(
        self, series: _Series, over: _Symmetric, mixed: Floats, corner: Floats
    ) -> tuple[float, float]:
        """Trace of the bordered inverse times a matrix with the same borders.

        Of the series the first two terms and the diagonal of the third are taken
        exactly; signs tell the remainder.
        """
        z = self.signs
        exact = float(over.diagonal @ (series.inverse + series.squared))
        if over.shared is not None:
            exact += float(over.shared.data @ series.once)
        told = np.sum(over.times(z) * series.left, axis=0)
        told -= np.sum((over.diagonal * z.T).T * series.third, axis=0)
        error = float(np.std(told, ddof=1) / np.sqrt(told.size))
        x = self.spread
        bordered = x.T @ over.times(x) - x.T @ mixed - mixed.T @ x + corner
        rest = float(np.trace(cho_solve(self.rest, bordered)))
        return exact + float(np.mean(told)) + rest, error

    def sums(self) -> dict[str, Floats]:
        """Projected scores summed by the levels of each term."""
        panel, q = self.panel, self.panel.within_scores.size
        inside = panel.within_scores - panel.within_questions @ self.beta[:q]
        every = {
            "interviewer": panel.by_interviewer @ self.residual,
            "question": panel.extra[:, :q].T @ self.residual + inside,
            "candidate": _by_candidate(panel, self.residual),
            "cand_x_int": self.residual,
        }
        return {name: every[name] for name in panel.names}

    def products(self, sums: dict[str, Floats]) -> Floats:
        """Products of the terms' working variates in the projected inverse."""
        panel, q = self.panel, self.panel.within_scores.size
        to_cards: dict[str, Callable[[Floats], Floats]] = {
            "interviewer": lambda level: level[panel.interviewer],
            "question": lambda level: panel.extra[:, :q] @ level,
            "candidate": lambda level: level[panel.candidate],
            "cand_x_int": lambda level: level,
        }
        variates = np.column_stack([to_cards[n](level) for n, level in sums.items()])
        solved = self.weights.solve(variates)
        product = variates.T @ solved
        left = panel.by_interviewer @ solved
        left_extra = panel.extra.T @ solved
        if "question" in sums:
            k, level = panel.names.index("question"), sums["question"]
            within = panel.within_questions @ level
            left_extra[:q, k] += within
            product[k, k] += level @ within
        alone = _solved(self.system, left)
        beta = cho_solve(self.rest, left_extra - self.border.T @ alone)
        product -= left.T @ (alone - self.spread @ beta) + left_extra.T @ beta
        return np.asarray(product)


def _point(panel: _Panel, known: dict[str, float], n_signs: int) -> _Point:
    """Solve the mixed model's equations at some ratios."""
    weights = _weights(panel, known)
    w, given = weights.card, weights.given[panel.candidate]
    a, b = panel.first, panel.second
    over = _over_interviewers(panel, w - w**2 * given, -given[a] * w[a] * w[b])
    system = _Symmetric(over.diagonal + 1 / known["interviewer"], over.shared)
    q, width = panel.within_scores.size, panel.extra.shape[1]
    solved_extra, solved_mean = weights.solve(panel.extra), weights.solve(panel.mean)
    border = panel.by_interviewer @ solved_extra
    corner = panel.extra.T @ solved_extra
    corner[:q, :q] += panel.within_questions
    if q:
        corner[np.arange(q), np.arange(q)] += 1 / known["question"]
    right, right_extra = panel.by_interviewer @ solved_mean, panel.extra.T @ solved_mean
    right_extra[:q] += panel.within_scores
    signs = np.random.default_rng(0).choice(
        [-1.0, 1.0], size=(panel.n_interviewers, n_signs)
    )
    found = _solved(system, np.column_stack([border, right, signs]))
    spread, alone = found[:, :width], found[:, width]
    rest = cho_factor(corner - border.T @ spread)
    beta = cho_solve(rest, right_extra - border.T @ alone)
    effect = alone - spread @ beta
    squares = panel.mean @ solved_mean + panel.within_squares
    squares -= right @ effect + right_extra @ beta
    return _Point(
        panel=panel,
        known=known,
        weights=weights,
        system=system,
        solved_extra=solved_extra,
        border=border,
        spread=spread,
        rest=rest,
        signs=signs,
        answers=found[:, width + 1 :],
        effect=effect,
        beta=beta,
        residual=solved_mean
        - weights.solve(effect[panel.interviewer])
        - solved_extra @ beta,
        var_resid=max(float(squares), 1e-12 * panel.n) / (panel.n - 1),
    )


def _score(panel: _Panel, ratios: Floats, n_signs: int) -> _Score:
    """Gradient and average information of −2 log restricted likelihood."""
    known = dict(zip(panel.names, ratios.tolist(), strict=True))
    point = _point(panel, known, n_signs)
    traces, errors = point.traces()
    sums, variance = point.sums(), point.var_resid
    squares = np.array([level @ level for level in sums.values()])
    return _Score(
        gradient=traces - squares / variance,
        information=point.products(sums) / variance
        - np.outer(squares, squares) / ((panel.n - 1) * variance**2),
        error=errors,
        intercept=float(point.beta[-1]),
        var_resid=variance,
    )


def _solved(system: _Symmetric, right: Floats) -> Floats:
    """Solutions by conjugate gradients, scaled by the diagonal; columns together."""
    scale = 1 / system.diagonal
    x = (scale * right.T).T
    residual = right - system.times(x)
    ready = (scale * residual.T).T
    direction, power = ready, np.sum(residual * ready, axis=0)
    wanted = _TOLERANCE**2 * np.sum(right * (scale * right.T).T, axis=0)
    for _ in range(10 * right.shape[0]):
        if np.all(power <= wanted):
            break
        image = system.times(direction)
        bend = np.sum(direction * image, axis=0)
        length = np.divide(power, bend, out=np.zeros_like(power), where=bend > 0)
        x = x + length * direction
        residual = residual - length * image
        ready = (scale * residual.T).T
        before, power = power, np.sum(residual * ready, axis=0)
        ahead = np.divide(power, before, out=np.zeros_like(power), where=before > 0)
        direction = ready + ahead * direction
    return np.asarray(x)
