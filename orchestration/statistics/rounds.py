"""What a round adds to the composite: reliability, redundancy, decisions, a verdict.

The composite is the weighted sum of a candidate's round scores. Errors of different
rounds are taken as uncorrelated, so what two rounds share is true. Arrays have the
rounds last and groups, such as role families, before them.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, owens_t

from orchestration.statistics.proportions import Proportion, wilson

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.str_]

KEEP, SHORTEN, MERGE = "keep", "shorten", "merge"
ADD_RATER, DROP, UNKNOWN = "add_rater", "drop_candidate", "unknown"

# Sums of the same scores in another order differ by this much of their size.
ROUNDING = 1e-9


@dataclass(frozen=True)
class MarginalReliability:
    """Reliability of the composite with all rounds, and without each of them.

    Attributes
    ----------
    with_all : ndarray, shape (...)
        Of the composite of all rounds.
    without : ndarray, shape (..., n_rounds)
        Of the composite of the others; NaN for an only round.
    estimate, low, high : ndarray, shape (..., n_rounds)
        With less without, and its interval: negative where the composite would be more
        reliable without the round.
    """

    with_all: Floats
    without: Floats
    estimate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class TrueCorrelation:
    """Correlation of true scores.

    Attributes
    ----------
    estimate, low, high : ndarray
        Not held to [-1, 1]: sampling error carries them beyond, and a cut interval
        would look surer than it is. NaN where a reliability is not above 0.
    capped : ndarray
        The estimate held to [-1, 1], for display.
    """

    estimate: Floats
    low: Floats
    high: Floats
    capped: Floats


@dataclass(frozen=True)
class Decisions:
    """How surely a pass rate picks the same, and the right, candidates.

    Attributes
    ----------
    consistency : ndarray
        Share of candidates that a parallel panel would decide alike.
    kappa : ndarray
        The same beyond chance; NaN where all or none pass.
    accuracy : ndarray
        Share decided as their true scores would be at the same pass rate.
    wrong_pass_rate : ndarray
        Share of passes whose true score is not among the best of that number; NaN
        where none pass. As many are missed as pass wrongly.
    """

    consistency: Floats
    kappa: Floats
    accuracy: Floats
    wrong_pass_rate: Floats


@dataclass(frozen=True)
class RoundStatistics:
    """What the verdict on a round looks at; arrays of one shape, NaN where unknown.

    Attributes
    ----------
    n_candidates : ndarray of int
        Candidates behind the statistics.
    reliability_high : ndarray
        Upper limit of the round's reliability.
    reliability_with_more : ndarray
        D-study reliability with the most raters that may be added.
    marginal_high : ndarray
        Upper limit of its marginal reliability.
    flip_rate : ndarray
        Decisions that change without it.
    delta_r2_p : ndarray
        p-value of what it adds to the validity of the other rounds.
    redundancy, redundancy_low : ndarray
        True correlation with the round it resembles most, uncapped, and lower limit.
    borderline_share : ndarray
        Candidates within one SEM of the cut.
    is_sole_cover, is_other_sole_cover : ndarray of bool
        Whether the round, and the one it resembles most, is the only one that covers
        a required competency.
    """

    n_candidates: ArrayLike
    reliability_high: ArrayLike
    reliability_with_more: ArrayLike
    marginal_high: ArrayLike
    flip_rate: ArrayLike
    delta_r2_p: ArrayLike
    redundancy: ArrayLike
    redundancy_low: ArrayLike
    borderline_share: ArrayLike
    is_sole_cover: ArrayLike
    is_other_sole_cover: ArrayLike


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict turns; the defaults are those of the recommendation rules.

    Attributes
    ----------
    n_candidates : int
        Fewer make the verdict unknown.
    marginal_reliability, flip_rate : float
        A round below both adds nothing that decides.
    delta_r2_p : float
        Level at which a round is shown to add validity.
    redundancy, redundancy_low : float
        True correlation and lower limit from which two rounds measure the same.
    reliability, borderline_share : float
        A round less reliable, with more candidates at the cut, needs a rater.
    reliability_goal : float
        What the added raters must reach.
    """

    n_candidates: int = 100
    marginal_reliability: float = 0.02
    flip_rate: float = 0.05
    delta_r2_p: float = 0.05
    redundancy: float = 0.90
    redundancy_low: float = 0.70
    reliability: float = 0.60
    borderline_share: float = 0.25
    reliability_goal: float = 0.70


def spearman_brown(reliability: ArrayLike, *, length: ArrayLike) -> Floats:
    """Return the reliability of a measure made longer by parallel parts.

    Parameters
    ----------
    reliability : array_like
        Of the measure as it is; any shapes that broadcast.
    length : array_like
        New length over old, such as raters or questions.

    Returns
    -------
    ndarray
        NaN where a negative reliability has no longer measure.

    Raises
    ------
    ValueError
        If a reliability lies outside [-1, 1] or a length is not above 0.

    References
    ----------
    Spearman (1910), British J. Psychology 3, 271-295; Brown (1910), ibid. 296-322.
    """
    known, factor = _reliability(reliability), _positive("length", length)
    scale = 1 + (factor - 1) * known
    with np.errstate(divide="ignore", invalid="ignore"):
        return factor * known / np.where(scale > 0, scale, np.nan)


def length_needed(reliability: ArrayLike, *, target: ArrayLike) -> Floats:
    """Return how many times as long a measure must be to reach a reliability.

    Parameters
    ----------
    reliability, target : array_like
        As it is and as it should be; any shapes that broadcast.

    Returns
    -------
    ndarray
        New length over old, not rounded up; infinite where none is long enough.

    Raises
    ------
    ValueError
        If a reliability lies outside [-1, 1] or a target not in (0, 1).

    References
    ----------
    Nunnally (1978), Psychometric Theory, 2nd ed., p. 244.
    """
    known, wanted = _reliability(reliability), _positive("target", target)
    if (wanted >= 1).any():
        raise ValueError(f"target must lie in (0, 1), got {np.nanmax(wanted):g}")
    with np.errstate(divide="ignore", invalid="ignore"):
        length = wanted * (1 - known) / (known * (1 - wanted))
    return np.where(known <= 0, np.inf, length) + 0 * wanted


def signal_to_noise(reliability: ArrayLike) -> Floats:
    """Return true over error variance; it adds up over independent parallel measures.

    Parameters
    ----------
    reliability : array_like
        Share of true variance.

    Returns
    -------
    ndarray
        Infinite at a reliability of 1.

    Raises
    ------
    ValueError
        If a reliability lies outside [-1, 1].

    References
    ----------
    Cronbach & Gleser (1964), EPM 24(3), 467-480.
    """
    known = _reliability(reliability)
    with np.errstate(divide="ignore"):
        return known / (1 - known)


def information_per_hour(reliability: ArrayLike, *, hours: ArrayLike) -> Floats:
    """Return the signal-to-noise ratio that an interviewer's hour buys.

    Parameters
    ----------
    reliability : array_like
        Of the round; any shapes that broadcast.
    hours : array_like
        Interviewer hours the round takes per candidate, all interviewers together.

    Returns
    -------
    ndarray
        Per hour.

    Raises
    ------
    ValueError
        If a reliability lies outside [-1, 1] or hours are not above 0.
    """
    return signal_to_noise(reliability) / _positive("hours", hours)


def composite_reliability(
    covariance: ArrayLike,
    reliability: ArrayLike,
    *,
    weights: ArrayLike | None = None,
) -> Floats:
    """Return the reliability of the weighted sum of rounds.

    Parameters
    ----------
    covariance : array_like, shape (..., n_rounds, n_rounds)
        Of observed round scores, over candidates with all rounds.
    reliability : array_like, shape (..., n_rounds)
        Of each round.
    weights : array_like, shape (..., n_rounds), optional
        Of each round in the composite; equal when left out.

    Returns
    -------
    ndarray, shape (...)
        NaN where a value is missing or the composite does not vary.

    Raises
    ------
    ValueError
        If shapes do not fit, the matrix is not symmetric, or a reliability lies
        outside [-1, 1].

    References
    ----------
    Mosier (1943), Psychometrika 8(3), 161-168.
    """
    parts = _rounds(covariance, reliability, weights)
    return _composite(*parts).reliability


def marginal_reliability(
    covariance: ArrayLike,
    reliability: ArrayLike,
    n: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    reliability_se: ArrayLike = 0.0,
    reliability_n: ArrayLike | None = None,
    level: float = 0.95,
) -> MarginalReliability:
    """Return what each round adds to the reliability of the composite.

    The interval is the delta method over the covariances, of normal scores, and over
    the reliabilities jointly: a reliability is 1 - error / variance, and the variance
    is that of the same candidates' scores, so it errs with their covariances. Only
    what the raters' error adds to a reliability's own error is independent.

    Parameters
    ----------
    covariance, reliability, weights
        As for `composite_reliability`.
    n : array_like of int, shape (...)
        Candidates behind the covariances.
    reliability_se : array_like, scalar or shape (..., n_rounds)
        Standard error of each reliability; 0 takes them as known.
    reliability_n : array_like of int, scalar or shape (..., n_rounds), optional
        Candidates behind each reliability, those of the covariances among them; just
        these when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    MarginalReliability
        The interval is NaN below three candidates.

    Raises
    ------
    ValueError
        If shapes do not fit, the matrix is not symmetric, a reliability lies outside
        [-1, 1], or a standard error or `n` is negative.

    References
    ----------
    Mosier (1943), Psychometrika 8(3), 161-168; moments of covariances: Anderson
    (2003), Multivariate Statistical Analysis, 3rd ed., 3.4.
    """
    scores, known, weight = _rounds(covariance, reliability, weights)
    sources = _sources(scores, known, n, reliability_se, reliability_n)
    all_of_them = _composite(scores, known, weight)
    others = _composite(scores[..., None, :, :], known[..., None, :], _without(weight))
    by_covariance = all_of_them.by_covariance[..., None, :, :] - others.by_covariance
    by_reliability = all_of_them.by_reliability[..., None, :] - others.by_reliability
    by_scores, by_raters = _variances(by_covariance, by_reliability, sources)
    half = float(ndtri(0.5 + level / 2)) * np.sqrt(by_scores + by_raters)
    estimate = all_of_them.reliability[..., None] - others.reliability
    return MarginalReliability(
        all_of_them.reliability,
        others.reliability,
        estimate,
        estimate - half,
        estimate + half,
    )


def true_correlation(
    r: ArrayLike,
    n: ArrayLike,
    *,
    reliability: ArrayLike,
    other_reliability: ArrayLike,
    reliability_se: ArrayLike = 0.0,
    other_se: ArrayLike = 0.0,
    reliability_n: ArrayLike | None = None,
    other_n: ArrayLike | None = None,
    level: float = 0.95,
) -> TrueCorrelation:
    """Return what two measures would correlate without error in either.

    The interval has the Fisher limits of r over the root of both reliabilities. Where
    these have standard errors, each squared distance to the estimate is changed by what
    they change in its variance (delta method, normal scores). They rise and fall with r
    as far as they come from the same candidates' scores, which narrows the interval;
    what is left of their errors, the raters' own, is independent and widens it.

    Parameters
    ----------
    r : array_like
        Observed correlation; any shapes that broadcast.
    n : array_like of int
        Candidates behind it.
    reliability, other_reliability : array_like
        Of the two measures, in the same population.
    reliability_se, other_se : array_like
        Their standard errors; 0 takes them as known.
    reliability_n, other_n : array_like of int, optional
        Candidates behind the reliabilities, those of r among them; just these when left
        out.
    level : float
        Coverage of the interval.

    Returns
    -------
    TrueCorrelation
        The interval is NaN below four candidates.

    Raises
    ------
    ValueError
        If a correlation or reliability lies outside [-1, 1], or a standard error or
        `n` is negative.

    References
    ----------
    Spearman (1904), Am. J. Psychology 15, 72-101; Hunter & Schmidt (2004), Methods of
    Meta-Analysis, 2nd ed., ch. 3; squared distances: Zou & Donner (2008), Statistics
    in Medicine 27, 1693-1702; moments of covariances: Anderson (2003), Multivariate
    Statistical Analysis, 3rd ed., 3.4.
    """
    counts = [n if part is None else part for part in (reliability_n, other_n)]
    columns = (n, reliability, other_reliability, reliability_se, other_se, *counts)
    shape = np.broadcast_shapes(np.shape(r), *map(np.shape, columns))
    observed = np.broadcast_to(_within("r", r), shape)
    cases = np.broadcast_to(_not_negative("n", n), shape)
    known, error, behind = (
        np.stack([np.broadcast_to(check(part), shape) for part in pair], axis=-1)
        for check, pair in (
            (_reliability, (reliability, other_reliability)),
            (partial(_not_negative, "reliability_se"), (reliability_se, other_se)),
            (partial(_not_negative, "reliability_n"), counts),
        )
    )
    known, same = np.where(known > 0, known, np.nan), np.eye(2)
    across = observed[..., None, None]
    scores = same + across * (1 - same)
    scale = np.sqrt(known.prod(axis=-1))
    by_covariance = (1 - same - across * same) / (2 * scale[..., None, None])
    by_reliability = -(observed / scale)[..., None] / (2 * known)
    by_scores, by_raters = _variances(
        by_covariance[..., None, :, :],
        by_reliability[..., None, :],
        _sources(scores, known, cases, error, behind),
    )
    return _true_correlation(
        observed, cases, scale, by_scores[..., 0], by_raters[..., 0], level
    )


def redundancy(
    covariance: ArrayLike,
    reliability: ArrayLike,
    n: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    reliability_se: ArrayLike = 0.0,
    reliability_n: ArrayLike | None = None,
    level: float = 0.95,
) -> TrueCorrelation:
    """Return each round's true correlation with the composite of the others.

    Parameters
    ----------
    covariance, reliability, n, weights, reliability_se, reliability_n, level
        As for `marginal_reliability`.

    Returns
    -------
    TrueCorrelation
        Arrays of shape (..., n_rounds), as from `true_correlation`; the reliability of
        the others errs with the covariances and with theirs. NaN for an only round.

    Raises
    ------
    ValueError
        As for `marginal_reliability`.

    References
    ----------
    As for `true_correlation` and `composite_reliability`.
    """
    scores, known, weight = _rounds(covariance, reliability, weights)
    sources = _sources(scores, known, n, reliability_se, reliability_n)
    rest = _without(weight)
    others = _composite(scores[..., None, :, :], known[..., None, :], rest)
    own = np.where(known > 0, known, np.nan)
    of_others = np.where(others.reliability > 0, others.reliability, np.nan)
    spread = np.diagonal(scores, axis1=-2, axis2=-1)
    together = np.einsum("...ij,...ij->...i", rest, scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(spread * others.variance)
        r = np.clip(together / root, -1.0, 1.0)
        scale = np.sqrt(own * of_others)
        one, outer = np.eye(own.shape[-1]), rest[..., :, None] * rest[..., None, :]
        # Of twice the logarithm of what divides the covariance of round and others.
        by_covariance = (
            one[:, :, None] * one[:, None, :] / spread[..., None, None]
            + outer / others.variance[..., None, None]
            + others.by_covariance / of_others[..., None, None]
        )
        by_reliability = (
            one / own[..., None] + others.by_reliability / of_others[..., None]
        )
        half = r / scale / 2
        joint = (one[:, :, None] * rest[..., None, :]) / (root * scale)[..., None, None]
        joint = (joint + np.swapaxes(joint, -1, -2)) / 2
    by_scores, by_raters = _variances(
        joint - half[..., None, None] * by_covariance,
        -half[..., None] * by_reliability,
        sources,
    )
    cases = np.asarray(n, dtype=np.float64)[..., None]
    return _true_correlation(r, cases, scale, by_scores, by_raters, level)


def decisions(reliability: ArrayLike, *, pass_rate: ArrayLike) -> Decisions:
    """Return how consistent and how right decisions at a pass rate are.

    Scores of parallel panels, and observed and true scores, are taken as bivariate
    normal with the reliability and its root as correlations. The cut of every score
    passes the same share, as when places are limited.

    Parameters
    ----------
    reliability : array_like
        Of the score that decides; any shapes that broadcast.
    pass_rate : array_like
        Share of candidates who pass.

    Returns
    -------
    Decisions
        Accuracy is NaN where a reliability is negative.

    Raises
    ------
    ValueError
        If a reliability lies outside [-1, 1] or a pass rate outside [0, 1].

    References
    ----------
    Peng & Subkoviak (1980), JEM 17(4), 359-368; Subkoviak (1988), JEM 25(1), 47-55;
    the joint probability by Owen (1956), Ann. Math. Stat. 27, 1075-1090.
    """
    known = _reliability(reliability)
    share = np.asarray(pass_rate, dtype=np.float64)
    outside = share[(share < 0) | (share > 1)]
    if outside.size:
        raise ValueError(f"pass_rate must lie in [0, 1], got {outside[0]:g}")
    known, share = np.broadcast_arrays(known, share)
    cut = ndtri(1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = 2 * _only_first_passes(cut, known)
        by_chance = 2 * share * (1 - share)
        wrong = _only_first_passes(cut, np.sqrt(known))
        return Decisions(
            consistency=1 - apart,
            kappa=1 - apart / np.where(by_chance > 0, by_chance, np.nan),
            accuracy=1 - 2 * wrong,
            wrong_pass_rate=wrong / np.where(share > 0, share, np.nan),
        )


def borderline_share(
    score: ArrayLike,
    *,
    cut: ArrayLike,
    sem: ArrayLike,
    group: ArrayLike,
    n_groups: int | None = None,
    level: float = 0.95,
) -> Proportion:
    """Return the share of candidates within one standard error of the cut.

    Parameters
    ----------
    score : array_like, shape (n_candidates,)
        Scores that decide; NaN is left out.
    cut, sem : array_like, scalar or shape (n_groups,)
        Score from which candidates pass, and standard error of measurement, in points
        of the score.
    group : array_like of int, shape (n_candidates,)
        Code from 0 of the group each candidate belongs to.
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    Proportion
        Of shape (n_groups,), with Wilson's interval; NaN for an empty group and where
        the cut or its error is missing.

    Raises
    ------
    ValueError
        If a group code or a standard error is negative.
    """
    scores = np.asarray(score, dtype=np.float64)
    codes, size = _codes(group, n_groups)
    line = np.broadcast_to(np.asarray(cut, dtype=np.float64), (size,))
    width = np.broadcast_to(_not_negative("sem", sem), (size,))
    kept = ~np.isnan(scores)
    scores, codes = scores[kept], codes[kept]
    slack = ROUNDING * np.maximum(np.abs(scores), 1.0)
    is_near = np.abs(scores - line[codes]) <= width[codes] + slack
    near = np.bincount(codes, is_near, size) + 0 * line + 0 * width
    return wilson(near, np.bincount(codes, minlength=size), level=level)


def flip_rate(
    scores: ArrayLike,
    *,
    pass_rate: ArrayLike,
    group: ArrayLike,
    weights: ArrayLike | None = None,
    n_groups: int | None = None,
    level: float = 0.95,
) -> Proportion:
    """Return the share of decisions that change without each round.

    The best of each group pass, the same share of them with and without the round.
    Where several are tied for the last places, each passes by the same share of a
    place, and the change is the difference of the shares.

    Parameters
    ----------
    scores : array_like, shape (n_candidates, n_rounds)
        Round scores; candidates with a missing one are left out.
    pass_rate : array_like, scalar or shape (n_groups,)
        Share of each group that passes.
    group : array_like of int, shape (n_candidates,)
        Code from 0 of the group each candidate belongs to.
    weights : array_like, shape (n_rounds,), optional
        Of each round in the composite; equal when left out.
    n_groups : int, optional
        Length of the answer; one more than the largest code when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    Proportion
        Of shape (n_groups, n_rounds), with Wilson's interval; NaN for an empty group.
        Without an only round every candidate is tied.

    Raises
    ------
    ValueError
        If `scores` is not a table with one row per group code, a code is negative, a
        pass rate lies outside [0, 1], or the weights do not fit.
    """
    table = np.asarray(scores, dtype=np.float64)
    codes, size = _codes(group, n_groups)
    if table.ndim != 2 or table.shape[0] != codes.size:
        raise ValueError(f"scores must have {codes.size} rows, got {table.shape}")
    share = np.broadcast_to(np.asarray(pass_rate, dtype=np.float64), (size,))
    if ((share < 0) | (share > 1)).any():
        raise ValueError(f"pass_rate must lie in [0, 1], got {share}")
    weight = _weights(weights, table.shape[1:])
    kept = ~np.isnan(table).any(axis=1)
    table, codes = table[kept], codes[kept]
    n = np.bincount(codes, minlength=size)
    passes = _passes(table @ weight, codes, n, share)
    changed = np.empty((size, table.shape[1]))
    for place, row in enumerate(_without(weight)):
        change = np.abs(_passes(table @ row, codes, n, share) - passes)
        changed[:, place] = np.bincount(codes, change, size) + 0 * share
    counts = np.minimum(changed, n[:, None])
    return wilson(counts, n[:, None], level=level)


def candidate_dropoff(
    withdrew: ArrayLike, reached: ArrayLike, *, level: float = 0.95
) -> Proportion:
    """Return the share of candidates who withdrew at each round.

    Parameters
    ----------
    withdrew : array_like of int
        Candidates who withdrew between reaching the round and leaving it.
    reached : array_like of int
        Candidates who reached it and are no longer in it, in any way; those still
        there may yet withdraw and are not counted.
    level : float
        Coverage of the interval.

    Returns
    -------
    Proportion
        With Wilson's interval; NaN where nobody reached the round.

    Raises
    ------
    ValueError
        If a count is negative or more withdrew than reached it.

    References
    ----------
    Wilson (1927), JASA 22(158), 209-212.
    """
    return wilson(withdrew, reached, level=level)


def verdict(statistics: RoundStatistics, thresholds: Thresholds | None = None) -> Words:
    """Return what to do with each round, by the first of these that holds.

    - unknown: too few candidates, or no reliability, marginal reliability or flip rate.
    - drop_candidate: it adds less than the threshold to the reliability, decides too
      little, and is not shown to add validity. A round that lowers the reliability
      (its upper limit is below 0) may decide much: what it decides is noise.
    - shorten: the same, but the only round that covers a required competency.
    - merge: it measures what another round measures, is not shown to add validity, and
      neither is the only cover of a required competency.
    - add_rater: unreliable, many candidates at the cut, and the raters that may be
      added reach the goal.
    - keep: none of these.

    A missing value meets no condition, except that validity without a p-value is not
    shown. One quarter's verdict is no action: whether it holds again is for the caller.

    Parameters
    ----------
    statistics : RoundStatistics
        Of the rounds; any shapes that broadcast.
    thresholds : Thresholds, optional
        Where the verdict turns; the defaults when left out.

    Returns
    -------
    ndarray of str
        keep, shorten, merge, add_rater, drop_candidate or unknown.
    """
    at = Thresholds() if thresholds is None else thresholds
    given = {
        name: np.asarray(value, dtype=np.float64)
        for name, value in vars(statistics).items()
    }
    is_unknown = ~(given["n_candidates"] >= at.n_candidates) | np.isnan(
        given["reliability_high"] + given["marginal_high"] + given["flip_rate"]
    )
    is_valid = given["delta_r2_p"] < at.delta_r2_p
    is_idle = (given["flip_rate"] < at.flip_rate) | (given["marginal_high"] < 0)
    is_idle &= (given["marginal_high"] < at.marginal_reliability) & ~is_valid
    is_cover = given["is_sole_cover"] > 0
    is_same = (given["redundancy"] >= at.redundancy) & ~is_valid
    is_same &= given["redundancy_low"] > at.redundancy_low
    is_same &= ~is_cover & ~(given["is_other_sole_cover"] > 0)
    is_short_of_raters = given["reliability_high"] < at.reliability
    is_short_of_raters &= given["borderline_share"] > at.borderline_share
    is_short_of_raters &= given["reliability_with_more"] >= at.reliability_goal
    return np.select(
        [is_unknown, is_idle & ~is_cover, is_idle, is_same, is_short_of_raters],
        [UNKNOWN, DROP, SHORTEN, MERGE, ADD_RATER],
        KEEP,
    )


@dataclass(frozen=True)
class _Composite:
    """A composite's reliability and variance, and its slopes in what they come from."""

    reliability: Floats
    variance: Floats
    by_covariance: Floats
    by_reliability: Floats


def _composite(scores: Floats, known: Floats, weight: Floats) -> _Composite:
    """The composite of each set of weights; NaN where it does not vary."""
    spread = np.diagonal(scores, axis1=-2, axis2=-1)
    variance = np.einsum("...i,...ij,...j->...", weight, scores, weight)
    variance = np.where(variance > 0, variance, np.nan)
    unreliable = weight**2 * (1 - known)
    noise = (unreliable * spread).sum(axis=-1) / variance
    scale = variance[..., None]
    outer = weight[..., :, None] * weight[..., None, :]
    slope = outer * (noise / variance)[..., None, None]
    slope = slope - np.eye(weight.shape[-1]) * (unreliable / scale)[..., None, :]
    return _Composite(1 - noise, variance, slope, weight**2 * spread / scale)


@dataclass(frozen=True)
class _Sources:
    """What covariances and reliabilities err by.

    A reliability is 1 - error / variance. `passed` is its slope in the variance of the
    scores; `share` is the part of that variance's error it has in common with the
    covariances, less than 1 where more candidates are behind it; `own` is the rest of
    its squared standard error.
    """

    scores: Floats
    freedom: Floats
    passed: Floats
    share: Floats
    own: Floats


def _sources(
    scores: Floats,
    known: Floats,
    n: ArrayLike,
    reliability_se: ArrayLike,
    reliability_n: ArrayLike | None,
) -> _Sources:
    """Errors of covariances and reliabilities; NaN below three candidates."""
    cases = _not_negative("n", n)[..., None]
    freedom = np.where(cases > 2, cases - 1, np.nan)
    error = np.broadcast_to(
        _not_negative("reliability_se", reliability_se), known.shape
    )
    by_scores = 2 * (1 - known) ** 2 / freedom
    with np.errstate(divide="ignore", invalid="ignore"):
        # An error stated smaller than the scores alone make it has more candidates.
        share = np.where(by_scores > 0, np.minimum(error**2 / by_scores, 1.0), 1.0)
        if reliability_n is not None:
            behind = _not_negative("reliability_n", reliability_n)
            share = np.minimum(share, cases / np.maximum(behind, cases))
        passed = (1 - known) / np.diagonal(scores, axis1=-2, axis2=-1)
    return _Sources(scores, freedom, passed, share, error**2 - share * by_scores)


def _variances(
    by_covariance: Floats, by_reliability: Floats, sources: _Sources
) -> tuple[Floats, Floats]:
    """Variance of statistics with these slopes, by scores and by the raters' own error.

    Slopes have an axis of statistics before those of rounds.
    """
    scores = sources.scores[..., None, :, :]
    moved = by_covariance @ scores
    passed = by_reliability * sources.passed[..., None, :]
    shared = np.minimum(sources.share[..., :, None], sources.share[..., None, :])
    alone = np.einsum("...ij,...ji->...", moved, moved)
    twisted = np.diagonal(scores @ moved, axis1=-2, axis2=-1)
    with_each = 2 * (passed * sources.share[..., None, :] * twisted).sum(axis=-1)
    common = shared[..., None, :, :] * scores**2
    of_each = np.einsum("...i,...ij,...j->...", passed, common, passed)
    by_scores = 2 * (alone + with_each + of_each) / sources.freedom
    own = (by_reliability**2 * sources.own[..., None, :]).sum(axis=-1)
    return np.maximum(by_scores, 0.0), own


def _true_correlation(
    r: Floats,
    cases: Floats,
    scale: Floats,
    by_scores: Floats,
    by_raters: Floats,
    level: float,
) -> TrueCorrelation:
    """Fisher's limits of r over the scale, each distance with the rest of the error."""
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = z / np.sqrt(np.where(cases > 3, cases - 3, np.nan))
        middle, estimate = np.arctanh(r), r / scale
        plain = (1 - r**2) ** 2 / (cases - 1) / scale**2
        below, above = (
            np.sqrt(
                np.maximum(
                    (estimate - np.tanh(end) / scale) ** 2 + z**2 * (by_scores - plain),
                    0.0,
                )
                + z**2 * by_raters
            )
            for end in (middle - half, middle + half)
        )
    return TrueCorrelation(
        estimate, estimate - below, estimate + above, np.clip(estimate, -1.0, 1.0)
    )


def _without(weight: Floats) -> Floats:
    """Weights of the composites without each round, one row each."""
    return weight[..., None, :] * (1 - np.eye(weight.shape[-1]))


def _only_first_passes(cut: Floats, r: Floats) -> Floats:
    """Chance that of two normal scores only the first lies above a common cut."""
    return 2 * owens_t(cut, np.sqrt((1 - r) / (1 + r)))


def _passes(score: Floats, codes: Integers, n: Integers, share: Floats) -> Floats:
    """Share of a place that each candidate has among the best of the group."""
    order = np.lexsort((-score, codes))
    ranked, group = score[order], codes[order]
    slack = ROUNDING * np.maximum(np.abs(ranked[1:]), 1.0)
    is_new = np.ones(order.size, dtype=np.bool_)
    is_new[1:] = (group[1:] != group[:-1]) | (ranked[:-1] - ranked[1:] > slack)
    starts = np.flatnonzero(is_new)
    tie = np.cumsum(is_new) - 1
    size = np.bincount(tie, minlength=starts.size)
    first = np.cumsum(n) - n
    ahead = starts - first[group[starts]]
    places = (share * n)[group[starts]]
    passes = np.empty(score.size)
    passes[order] = np.clip((places - ahead) / np.maximum(size, 1), 0.0, 1.0)[tie]
    return passes


def _rounds(
    covariance: ArrayLike, reliability: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Covariances, reliabilities and weights of one leading shape, checked."""
    scores = np.asarray(covariance, dtype=np.float64)
    known = _reliability(reliability)
    if scores.ndim < 2 or scores.shape[-1] != scores.shape[-2]:
        raise ValueError(f"covariance must be square, got shape {scores.shape}")
    if not np.allclose(scores, np.swapaxes(scores, -1, -2), equal_nan=True):
        raise ValueError("covariance must be symmetric")
    if known.shape[-1:] != scores.shape[-1:]:
        raise ValueError(
            f"reliability must have one value per round, got shape {known.shape}"
            f" for {scores.shape[-1]} rounds"
        )
    leading = np.broadcast_shapes(scores.shape[:-2], known.shape[:-1])
    size = scores.shape[-1]
    return (
        np.broadcast_to(scores, (*leading, size, size)),
        np.broadcast_to(known, (*leading, size)),
        _weights(weights, (*leading, size)),
    )


def _weights(weights: ArrayLike | None, shape: tuple[int, ...]) -> Floats:
    """Weights of the given shape; equal when left out."""
    if weights is None:
        return np.ones(shape)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape[-1:] != shape[-1:] or given.ndim > len(shape):
        raise ValueError(f"weights must have shape {shape}, got {given.shape}")
    return np.broadcast_to(given, shape)


def _codes(group: ArrayLike, n_groups: int | None) -> tuple[Integers, int]:
    """Group codes and the number of groups, checked."""
    codes = np.asarray(group)
    if (codes < 0).any():
        raise ValueError(f"group must not be negative, got {codes.min()}")
    size = int(codes.max(initial=-1)) + 1 if n_groups is None else n_groups
    if (codes >= size).any():
        raise ValueError(f"group must be below {size}, got {codes.max()}")
    return codes.astype(np.int64), size


def _reliability(values: ArrayLike) -> Floats:
    """Reliabilities as floats, checked; estimates below 0 are legitimate."""
    return _within("reliability", values)


def _within(name: str, values: ArrayLike) -> Floats:
    """Values as floats, each in [-1, 1]; NaN passes."""
    floats = np.asarray(values, dtype=np.float64)
    outside = floats[np.abs(floats) > 1]
    if outside.size:
        raise ValueError(f"{name} must lie in [-1, 1], got {outside[0]:g}")
    return floats


def _positive(name: str, values: ArrayLike) -> Floats:
    """Values as floats, each above 0; NaN passes."""
    floats = np.asarray(values, dtype=np.float64)
    if (floats <= 0).any():
        raise ValueError(f"{name} must be above 0, got {np.nanmin(floats):g}")
    return floats


def _not_negative(name: str, values: ArrayLike) -> Floats:
    """Values as floats, none negative; NaN passes."""
    floats = np.asarray(values, dtype=np.float64)
    if (floats < 0).any():
        raise ValueError(f"{name} must not be negative, got {np.nanmin(floats):g}")
    return floats
