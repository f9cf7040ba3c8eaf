"""Correlations of the true scores of rounds that candidates take one after another.

A rating is the candidate's true score in the round and an error of its own. True scores
of the rounds are jointly normal; their variances and covariances are free, so sampling
error may carry a correlation beyond 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from orchestration.statistics.rounds import TrueCorrelation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MOST_STEPS, _MOST_HALVINGS, _SETTLED = 100, 30, 1e-8
# Ratings of one candidate that differ by less, in variances of the round, are equal.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Patterns:
    """Sums over the candidates who have the same numbers of ratings in each round.

    Attributes
    ----------
    n : ndarray, shape (n_patterns,)
        Candidates.
    is_taken : ndarray of bool, shape (n_patterns, n_rounds)
        Whether they took the round.
    total : ndarray, shape (n_patterns, n_rounds)
        Sum of their means.
    squares : ndarray, shape (n_patterns, n_rounds, n_rounds)
        Sums of products of their means.
    within, freedom : ndarray, shape (n_rounds,)
        Squares of ratings about candidates' means, of all patterns, and their degrees
        of freedom.
    slopes : ndarray, shape (n_parameters, n_patterns, n_rounds, n_rounds)
        Of the covariances of candidates' means, in true (co)variances and then in the
        variances of one rating's error.
    place : ndarray of int, shape (n_rounds, n_rounds)
        Parameter of each true (co)variance; -1 where no candidate took both rounds.
    """

    n: Floats
    is_taken: Flags
    total: Floats
    squares: Floats
    within: Floats
    freedom: Floats
    slopes: Floats
    place: Integers


@dataclass(frozen=True)
class _Fit:
    """Parameters, −2 log restricted likelihood, inverse covariances by pattern.

    `of_means` is the covariance of the estimated means of rounds.
    """

    parameters: Floats
    deviance: float
    inverse: Floats
    means: Floats
    of_means: Floats


def true_correlations(
    score: ArrayLike,
    candidate: ArrayLike,
    step: ArrayLike,
    *,
    n_rounds: int,
    level: float = 0.95,
) -> TrueCorrelation:
    """Return what rounds would correlate without error, among all who took any of them.

    By restricted maximum likelihood from all ratings of all rounds. A candidate with
    two ratings counts for more than one with a single rating, and who took one round
    only still tells its variances. Where earlier rounds decide who takes later ones,
    those who took all are alike and their errors are no longer independent of their
    true scores; the likelihood of all ratings is right then too, as long as the
    decisions rest on the scores given (missing at random). The interval is Fieller's,
    of a covariance over the root of two variances, with the observed information: the
    expected one is wrong after selection.

    Parameters
    ----------
    score : array_like of float, shape (n_ratings,)
        Without NaN; severities of interviewers, where known, taken off.
    candidate : array_like of int, shape (n_ratings,)
        Codes; only their equality matters.
    step : array_like of int, shape (n_ratings,)
        Round of each rating, 0 to `n_rounds` - 1.
    level : float
        Coverage of the interval.

    Returns
    -------
    TrueCorrelation
        Arrays of shape (n_rounds, n_rounds), NaN on the diagonal, for a round in which
        no candidate has two ratings that differ or whose true variance is not above 0,
        and for two rounds that no candidate took both. Limits are also NaN where the
        true variances are so unsure that the data set none.

    Raises
    ------
    ValueError
        If the arrays differ in length, a score is not finite or a round outside its
        range.

    References
    ----------
    Anderson (1957), JASA 52, 200-203; Rubin (1976), Biometrika 63, 581-592; Patterson &
    Thompson (1971), Biometrika 58, 545-554; Kenward & Molenberghs (1998), Stat. Sci.
    13, 236-247, for the information; Fieller (1954), JRSS B 16, 175-185.
    """
    scores, codes, steps = _ratings(score, candidate, step, n_rounds)
    patterns, kept = _patterns(scores, codes, steps, n_rounds)
    nothing = np.full((3, n_rounds, n_rounds), np.nan)
    fit = _fitted(patterns) if kept.size > 1 else None
    if fit is not None:
        nothing[:, kept[:, None], kept] = _fieller(patterns, fit, level)
    estimate, low, high = nothing
    return TrueCorrelation(estimate, low, high, np.clip(estimate, -1.0, 1.0))


def _ratings(
    score: ArrayLike, candidate: ArrayLike, step: ArrayLike, n_rounds: int
) -> tuple[Floats, Integers, Integers]:
    """Scores, and candidates and rounds from 0, checked."""
    scores = np.asarray(score, dtype=np.float64)
    _, codes = np.unique(np.asarray(candidate), return_inverse=True)
    steps = np.asarray(step).astype(np.int64)
    if not scores.shape == codes.shape == steps.shape or scores.ndim != 1:
        raise ValueError(
            "score, candidate and step must have one entry per rating, got "
            f"{scores.shape}, {codes.shape} and {steps.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("score must be finite")
    if steps.size and (steps.min() < 0 or steps.max() >= n_rounds):
        raise ValueError(
            f"step must lie in 0 to {n_rounds - 1}, got {steps.min()} to {steps.max()}"
        )
    return scores, codes.astype(np.int64), steps


def _patterns(
    scores: Floats, codes: Integers, steps: Integers, n_rounds: int
) -> tuple[_Patterns, Integers]:
    """Sums by pattern of ratings, and the rounds whose error can be told."""
    n = int(codes.max(initial=-1)) + 1
    count = np.bincount(steps, minlength=n_rounds)
    mean = np.bincount(steps, scores, n_rounds) / np.maximum(count, 1)
    centred = scores - mean[steps]
    spread = np.sqrt(np.bincount(steps, centred**2, n_rounds) / np.maximum(count, 1))
    standard = centred / np.where(spread > 0, spread, 1.0)[steps]
    cell = codes * n_rounds + steps
    ratings = np.bincount(cell, minlength=n * n_rounds)
    means = np.bincount(cell, standard, n * n_rounds) / np.maximum(ratings, 1)
    within = np.bincount(steps, (standard - means[cell]) ** 2, n_rounds)
    means, ratings = means.reshape(n, n_rounds), ratings.reshape(n, n_rounds)
    freedom = count - (ratings > 0).sum(axis=0)
    kept = np.flatnonzero(within > _ROUNDING * np.maximum(freedom, 1))
    ratings, means = ratings[:, kept], means[:, kept]
    kinds, kind = np.unique(ratings, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    total, squares = np.zeros(kinds.shape), np.zeros((*kinds.shape, kept.size))
    np.add.at(total, kind, means)
    np.add.at(squares, kind, means[:, :, None] * means[:, None, :])
    slopes, place = _slopes(kinds)
    return _Patterns(
        n=np.bincount(kind, minlength=len(kinds)).astype(np.float64),
        is_taken=kinds > 0,
        total=total,
        squares=squares,
        within=within[kept].astype(np.float64),
        freedom=freedom[kept].astype(np.float64),
        slopes=slopes,
        place=place,
    ), kept


def _slopes(kinds: Integers) -> tuple[Floats, Integers]:
    """Slopes of the covariances of means, and where each true covariance stands."""
    is_taken, size = kinds > 0, kinds.shape[1]
    together = is_taken[:, :, None] & is_taken[:, None, :]
    first, second = np.triu_indices(size)
    is_seen = np.asarray(together.any(axis=0))[first, second]
    first, second = first[is_seen], second[is_seen]
    place = np.full((size, size), -1)
    place[first, second] = place[second, first] = np.arange(first.size)
    slopes = np.zeros((first.size + size, *together.shape))
    for one, (i, j) in enumerate(zip(first, second, strict=True)):
        slopes[one, :, i, j] = slopes[one, :, j, i] = together[:, i, j]
    for k in range(size):
        slopes[first.size + k, :, k, k] = is_taken[:, k] / np.maximum(kinds[:, k], 1)
    return slopes, place


def _fitted(patterns: _Patterns) -> _Fit | None:
    """Parameters of the highest restricted likelihood, by Fisher's scoring.

    None where it is not found.
    """
    fit = _at(patterns, _start(patterns))
    for _ in range(_MOST_STEPS):
        if fit is None:
            return None
        slope, expected = _slope(patterns, fit)
        try:
            step = np.linalg.solve(expected, slope)
        except np.linalg.LinAlgError:
            return None
        if slope @ step < _SETTLED:
            return fit
        fit = _uphill(patterns, fit, np.asarray(step, dtype=np.float64))
    return None


def _start(patterns: _Patterns) -> Floats:
    """Rounds that have nothing in common, half of a mean's variance true or more."""
    size = patterns.within.size
    parameters = np.zeros(len(patterns.slopes))
    error = patterns.within / patterns.freedom
    n = patterns.n @ patterns.is_taken
    spread = np.einsum("pii->i", patterns.squares) / n
    parameters[np.diagonal(patterns.place)] = np.maximum(spread - error / 2, error / 9)
    parameters[-size:] = error
    return parameters


def _uphill(patterns: _Patterns, fit: _Fit, step: Floats) -> _Fit | None:
    """The next fit: the step, halved until the likelihood does not fall."""
    for halving in range(_MOST_HALVINGS):
        found = _at(patterns, fit.parameters + step / 2**halving)
        if found is not None and found.deviance <= fit.deviance + _SETTLED:
            return found
    return None


def _at(patterns: _Patterns, parameters: Floats) -> _Fit | None:
    """The likelihood at some parameters; None where they allow no such scores."""
    error = parameters[-patterns.within.size :]
    covariance = np.tensordot(parameters, patterns.slopes, axes=1)
    # A round not taken stands apart, with a variance that no sum sees.
    diagonal = np.arange(error.size)
    covariance[:, diagonal, diagonal] += ~patterns.is_taken
    if not (error > 0).all():
        return None
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    inverse[:, diagonal, diagonal] *= patterns.is_taken
    precision = np.tensordot(patterns.n, inverse, axes=1)
    pull = np.einsum("pij,pj->i", inverse, patterns.total)
    of_means = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    means = np.asarray(of_means @ pull, dtype=np.float64)
    deviance = (
        2 * patterns.n @ np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        + np.einsum("pij,pij->", inverse, patterns.squares)
        - pull @ means
        + (patterns.freedom * np.log(error) + patterns.within / error).sum()
        + np.linalg.slogdet(precision)[1]
    )
    return _Fit(parameters, float(deviance), inverse, means, of_means)


def _spreads(patterns: _Patterns, fit: _Fit) -> Floats:
    """Inverse · squares about the fitted means · inverse, by pattern."""
    cross = patterns.total[:, :, None] * fit.means
    centred = (
        patterns.squares
        - cross
        - np.swapaxes(cross, 1, 2)
        + patterns.n[:, None, None] * np.outer(fit.means, fit.means)
    )
    return fit.inverse @ centred @ fit.inverse


def _slope(patterns: _Patterns, fit: _Fit) -> tuple[Floats, Floats]:
    """Slope of the log likelihood, and the information expected without selection."""
    n, size = patterns.n[:, None, None], patterns.within.size
    restricted = fit.inverse @ fit.of_means @ fit.inverse - fit.inverse
    pull = _spreads(patterns, fit) + n * restricted
    slope = np.einsum("apij,pji->a", patterns.slopes, pull) / 2
    expected = _traces(patterns, fit)
    error, last = fit.parameters[-size:], np.arange(-size, 0)
    slope[-size:] += (patterns.within / error - patterns.freedom) / error / 2
    expected[last, last] += patterns.freedom / error**2 / 2
    return slope, expected


def _traces(patterns: _Patterns, fit: _Fit) -> Floats:
    """Half the summed traces of inverse · slope · inverse · slope."""
    moved = fit.inverse @ patterns.slopes
    weighted = patterns.n[:, None, None] * np.swapaxes(moved, 2, 3)
    width = len(moved)
    return moved.reshape(width, -1) @ weighted.reshape(width, -1).T / 2


def _observed(patterns: _Patterns, fit: _Fit) -> Floats:
    """Observed information of the restricted likelihood."""
    size, width = patterns.within.size, len(patterns.slopes)
    moved = fit.inverse @ patterns.slopes
    flat, weighted = (
        part.reshape(width, -1)
        for part in (patterns.slopes, patterns.n[:, None, None] * moved)
    )
    by_spread = (moved @ _spreads(patterns, fit)).reshape(width, -1)
    off = patterns.total - patterns.n[:, None] * fit.means
    by_mean = np.einsum("apij,pjk,pk->ai", moved, fit.inverse, off)
    through = np.swapaxes(moved @ (fit.inverse @ fit.of_means), 2, 3)
    passed = np.einsum("apij,pjk->aik", weighted.reshape(moved.shape), fit.inverse)
    passed = fit.of_means @ passed
    information = (
        flat @ by_spread.T
        - by_mean @ fit.of_means @ by_mean.T
        - _traces(patterns, fit)
        + weighted @ through.reshape(width, -1).T
        - np.einsum("aij,bji->ab", passed, passed) / 2
    )
    error, last = fit.parameters[-size:], np.arange(-size, 0)
    information[last, last] += (
        patterns.within / error - patterns.freedom / 2
    ) / error**2
    return np.asarray((information + information.T) / 2)


def _fieller(patterns: _Patterns, fit: _Fit, level: float) -> Floats:
    """Estimate, low and high of each pair of rounds, stacked."""
    place, z = patterns.place, float(ndtri(0.5 + level / 2))
    own = np.diagonal(place)
    variance = fit.parameters[own]
    usable = (place >= 0) & ~np.eye(own.size, dtype=bool)
    usable &= (variance[:, None] > 0) & (variance > 0)
    try:
        errors = np.linalg.inv(_observed(patterns, fit))
    except np.linalg.LinAlgError:
        errors = np.full((len(patterns.slopes),) * 2, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.outer(variance, variance))
        covariance = fit.parameters[place]
        # Of the logarithm of a variance; the root's is half the sum of two.
        each = errors[np.ix_(own, own)] / np.outer(variance, variance)
        alone = np.diagonal(each)
        of_root = root**2 * (alone[:, None] + alone + 2 * each) / 4
        of_covariance = errors[place, place]
        joint = errors[place, own[:, None]] / variance[:, None]
        joint = root * (joint + errors[place, own] / variance) / 2
        bounded = root**2 - z**2 * of_root
        middle = covariance * root - z**2 * joint
        gap = middle**2 - bounded * (covariance**2 - z**2 * of_covariance)
        half = np.sqrt(np.where(bounded > 0, gap, np.nan))
        found = np.stack(
            [covariance / root, (middle - half) / bounded, (middle + half) / bounded]
        )
    return np.where(usable, found, np.nan)
