"""Reliability of unbalanced interview panels: crossed random effects by REML."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.sparse.csgraph import connected_components

from orchestration.statistics import codes as of_codes
from orchestration.statistics.crossed_likelihood import (
    KNEE,
    Likelihood,
    best_ratios,
    curvature_at,
    indicator,
    likelihood_of,
    position_of,
    value_at,
)
from orchestration.statistics.crossed_profile import (
    Share,
    normal_limits,
    profile_limits,
    standard_errors,
    variance_limits,
)
from orchestration.statistics.crossed_sparse import Fit, fit_sparse
from orchestration.statistics.fixed_effects import Design, design

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Levels = tuple[Integers, int]

# Where the terms explain every score the ratios have no maximum: with this share of the
# scores' variance added as noise they do, and what they say of each other is kept.
_NOISE, _NOTHING = 1e-5, 1e-6
_PROFILE_UP_TO = 5_000
# Wider panels are fitted without dense factors, as long as questions stay few.
_WIDEST, _MOST_QUESTIONS = 250, 200
# With so many ratings that intervals are asymptotic anyway, they pay earlier.
_WIDE_AND_LONG = 60
_NAMES = ("candidate", "interviewer", "question", "cand_x_int")
_FIXED = "in the fixed effects"
PROFILE, ASYMPTOTIC, NO_INTERVAL = "profile likelihood", "asymptotic REML", "none"


@dataclass(frozen=True)
class Components:
    """Variance components of ratings.

    Attributes
    ----------
    intercept : float
        Generalised least squares mean in points of the score, where covariates are 0
        and factors at their lowest code.
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
        without spread, where candidates or interviewers cannot be told apart, and where
        interviewers' levels are fixed effects.
    converged : bool
        Whether the criterion is at its minimum.
    folded : tuple of (str, str)
        The terms asked for that cannot be told from others, each with where its
        variance went: "one level", "in the residual", "in candidate" …, "in the fixed
        effects".
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
    folded: tuple[tuple[str, str], ...] = ()
    _names: tuple[str, ...] = field(default=(), repr=False, compare=False)
    _ratios: tuple[float, ...] = field(default=(), repr=False, compare=False)
    _likelihood: Likelihood | None = field(default=None, repr=False, compare=False)
    _fit: Fit | None = field(default=None, repr=False, compare=False)
    _panel: "Panel | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Panel:
    """Ratings as a fit uses them.

    Attributes
    ----------
    standard : ndarray, shape (n_ratings,)
        Scores less their least squares fit, over `spread`.
    spread : float
        Points of one unit of `standard`.
    design : Design
        Columns of the fixed effects.
    least_squares : ndarray, shape (n_kept,)
        Points by which each of these columns was taken out.
    codes : dict of str to ndarray, shape (n_ratings,)
        Codes as they were given, of candidates, interviewers and questions.
    chosen : dict of str to (ndarray of int, int)
        Codes from 0 and number of levels of each term of the model.
    """

    standard: Floats
    spread: float
    design: Design
    least_squares: Floats
    codes: dict[str, NDArray[np.generic]]
    chosen: dict[str, Levels]

    def intercept(self, fixed: Floats | float = 0.0) -> float:
        """Return the intercept in points from effects of standardised scores."""
        return float(self.estimates(fixed)[0])

    def estimates(self, fixed: Floats | float = 0.0) -> Floats:
        """Return the effects of the columns kept, in points."""
        points = self.least_squares + self.spread * np.asarray(fixed)
        return np.asarray(solve_triangular(self.design.triangle, points))

    def columns(self) -> sp.csr_array:
        """Return ratings by levels of interviewers and questions, and fixed effects."""
        parts = [
            indicator(*self.chosen[name]).T
            for name in ("interviewer", "question")
            if name in self.chosen
        ]
        fixed = sp.csr_array(self.design.columns)
        return sp.csr_array(sp.hstack([*parts, fixed], format="csr"))


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
class VarianceIntervals:
    """Confidence limits of variance components, in squared points.

    Attributes
    ----------
    terms : tuple of str
        The random terms of the model, then "resid".
    low, high : ndarray, shape (n_terms,)
        NaN where the estimate is.
    ci_method : str
        "profile likelihood", "asymptotic REML", "parametric bootstrap" or "none".
    """

    terms: tuple[str, ...]
    low: Floats
    high: Floats
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
    covariates: ArrayLike | None = None,
    factors: ArrayLike | None = None,
    cand_x_int: bool | None = None,
) -> Components:
    """Fit score ~ fixed + candidate + interviewer (+ question + candidate:interviewer).

    Terms are random, crossed or nested; the design may be unbalanced and sparse.
    Candidates and their pairs with interviewers are integrated out in closed form,
    grouped by how many ratings they have, so one likelihood costs one Cholesky factor
    of the size of the interviewers and questions. Above 250 interviewers (60 with more
    than 5,000 ratings) none is made, unless there are fixed effects: `crossed_sparse`
    finds the same maximum to within .005 standard errors.

    Parameters
    ----------
    score : array_like of float, shape (n_ratings,)
        No NaN.
    candidate, interviewer, question : array_like of int, shape (n_ratings,)
        Codes; only their equality matters. A question asked in one round only, or an
        interviewer of one team, is nested there if it has a code of its own: see
        `nested_codes`. A term whose levels are single ratings, those of an earlier
        term, or told by the fixed effects, is left out: see `Components.folded`.
    covariates : array_like of float, shape (n_ratings,) or (n_ratings, n), optional
        Fixed effects: columns of the design. No NaN.
    factors : array_like of int, shape (n_ratings,) or (n_ratings, n), optional
        Fixed effects: codes of categories such as round or quarter, against the lowest.
    cand_x_int : bool, optional
        False keeps the interaction in the residual. Otherwise it is a term where some
        candidate has two ratings by one interviewer.

    Returns
    -------
    Components
        NaN where the ratings cannot tell; never an error for small panels.
        `fixed_effects` and `random_effects` tell the effects themselves.

    Raises
    ------
    ValueError
        If the arrays differ in length or a score or covariate is not finite.

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
    fixed = design(scores.size, covariates, factors)
    chosen, folded = _identified(levels, fixed, interaction=cand_x_int is not False)
    panel = _panel(scores, fixed, dict(zip(_NAMES, codes, strict=False)), chosen)
    found = _estimated(panel, levels, float(scores.mean()) if scores.size else np.nan)
    if ("interviewer", _FIXED) in folded:
        found = replace(found, icc_single=float("nan"))
    return replace(found, folded=folded, _panel=panel)


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
    nan, m = float("nan"), ratings_per_card
    if "candidate" not in fit._names:
        return Intervals(nan, nan, nan, nan, NO_INTERVAL)
    weights = panel_weights(q_overlap, k_harmonic, q_question, m)
    shares = [
        Share.of(fit._names, dict.fromkeys((*_NAMES, "resid"), 1.0)),
        Share.of(fit._names, weights),
    ]
    known = [
        bool(np.isfinite(fit.icc_single)),
        bool(
            np.isfinite(shares[1].weights).all()
            and np.isfinite([k_harmonic, m, fit.var_candidate]).all()
        ),
    ]
    wanted = [share for share, ok in zip(shares, known, strict=True) if ok]
    found, method = share_limits(fit, wanted, level=level)
    limits = [found.pop(0) if ok else (nan, nan) for ok in known]
    return Intervals(*limits[0], *limits[1], method)


def variance_intervals(fit: Components, *, level: float = 0.95) -> VarianceIntervals:
    """Return confidence limits of the variance components.

    By the profile likelihood of each, or above 5,000 ratings with its logarithm taken
    as normal. A panel fitted without dense factors has them made here, once.

    Parameters
    ----------
    fit : Components
        From `components`.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    VarianceIntervals
        NaN where a variance is; a lower limit of 0 where none is not rejected.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), sect. 5.1, for the
    profile; here of the restricted likelihood, so that its centre is the estimate.
    """
    names = (*fit.terms, "resid")
    nothing = np.full(len(names), np.nan)
    if fit._panel is None or not fit._ratios:
        return VarianceIntervals(names, nothing, nothing, NO_INTERVAL)
    panel = fit._panel
    likelihood = fit._likelihood or likelihood_of(
        panel.standard, panel.design.columns, panel.chosen
    )
    profile = fit.n_ratings <= _PROFILE_UP_TO
    at = position_of(np.array(fit._ratios))
    found = variance_limits(likelihood, at, level, profile=profile)
    limits = fit.var_resid * np.array(found)
    order = [(*fit._names, "resid").index(name) for name in names]
    known = ~np.isnan([getattr(fit, f"var_{name}") for name in names])
    low, high = np.where(known, limits[order].T, np.nan)
    return VarianceIntervals(names, low, high, PROFILE if profile else ASYMPTOTIC)


def share_limits(
    fit: Components, shares: Sequence[Share], *, level: float = 0.95
) -> tuple[list[tuple[float, float]], str]:
    """Return confidence limits of shares of variance, and the method.

    Parameters
    ----------
    fit : Components
        From `components`.
    shares : sequence of Share
        What to give limits of.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    list of (float, float), str
        Low and high of each share, and the method as in `Intervals`.
    """
    at = position_of(np.array(fit._ratios))
    large = fit.n_ratings > _PROFILE_UP_TO and fit.var_candidate > 0
    if fit._fit is not None:
        curvature, slope = _information(fit._fit)
        return normal_limits(curvature, slope, at, shares, level), ASYMPTOTIC
    method = ASYMPTOTIC if large else PROFILE
    if fit._likelihood is None or not shares:
        return [], method
    if large:
        curvature = curvature_at(fit._likelihood, at)
        return normal_limits(curvature, np.zeros(at.size), at, shares, level), method
    return profile_limits(fit._likelihood, at, shares, level), method


def share_errors(fit: Components, shares: Sequence[Share]) -> Floats:
    """Return the standard error of each share by the delta method.

    Ratios at zero are held there, so that the error is then too small.

    Parameters
    ----------
    fit : Components
        From `components`.
    shares : sequence of Share
        What to give errors of.

    Returns
    -------
    ndarray, shape (n_shares,)
        From the observed information, or the average where factors are not dense; NaN
        for a share of 0.
    """
    at = position_of(np.array(fit._ratios))
    if fit._fit is not None:
        return standard_errors(_information(fit._fit)[0], at, shares)
    if fit._likelihood is not None:
        return standard_errors(curvature_at(fit._likelihood, at), at, shares)
    return np.full(len(shares), np.nan)


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


def nested_codes(outer: ArrayLike, inner: ArrayLike) -> Integers:
    """Return codes of inner levels that are others in each outer level.

    Question 1 of one round and question 1 of another become two: the code a question
    nested in rounds, or an interviewer nested in teams, needs for `components`.

    Parameters
    ----------
    outer, inner : array_like of int, shape (n_ratings,)
        Codes; only their equality matters.

    Returns
    -------
    ndarray of int, shape (n_ratings,)
        From 0 without gaps, in the order of outer and inner codes.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    (left, _), (right, n_right) = _levels(outer), _levels(inner)
    _same_length(left, right, "outer and inner")
    return _levels(left * max(n_right, 1) + right)[0]


def nesting(first: ArrayLike, second: ArrayLike) -> str:
    """Return how the levels of two factors lie in each other.

    Identical factors are one term: `components` keeps the first and says so. A factor
    nested in another has a variance of its own.

    Parameters
    ----------
    first, second : array_like of int, shape (n_ratings,)
        Codes; only their equality matters.

    Returns
    -------
    str
        "identical", "first in second", "second in first" or "crossed".

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    one, other = _levels(first), _levels(second)
    _same_length(one[0], other[0], "first and second")
    joint = _joint(one, other)
    if joint == one[1] == other[1]:
        return "identical"
    if joint == one[1]:
        return "first in second"
    return "second in first" if joint == other[1] else "crossed"


# --- which terms -----------------------------------------------------------------


def _levels(code: ArrayLike) -> tuple[Integers, int]:
    """Codes from 0 without gaps, and how many there are."""
    values, levels = of_codes.levels(code)
    return levels, int(values.size)


def _same_length(
    left: Integers, right: Integers, names: str = "candidate and interviewer"
) -> None:
    if left.size != right.size:
        raise ValueError(
            f"{names} must have one entry per rating, got {left.size} and {right.size}"
        )


def _pairs(
    candidate: ArrayLike, interviewer: ArrayLike
) -> tuple[Floats, tuple[Integers, Integers]]:
    """Interviewers per candidate, and the distinct pairs."""
    (left, _), (right, n_right) = _levels(candidate), _levels(interviewer)
    _same_length(left, right)
    key = of_codes.distinct(left * max(n_right, 1) + right)
    first, second = key // max(n_right, 1), key % max(n_right, 1)
    return np.bincount(first).astype(np.float64), (first, second)


def _joint(left: Levels, right: Levels) -> int:
    """Number of distinct combinations of two codes."""
    return int(of_codes.distinct(left[0] * right[1] + right[0]).size)


def _identified(
    levels: list[Levels], fixed: Design, *, interaction: bool
) -> tuple[dict[str, Levels], tuple[tuple[str, str], ...]]:
    """Terms with their levels, and where the variance of the others is.

    Two terms are the same if their levels coincide: no combination is new.
    """
    chosen: dict[str, Levels] = {}
    folded: list[tuple[str, str]] = []
    offered = dict(zip(("candidate", "interviewer", "question"), levels, strict=False))
    n = levels[0][0].size
    if interaction and n:
        (left, _), (right, n_right) = levels[0], levels[1]
        offered["cand_x_int"] = _levels(left * n_right + right)
    for name, level in offered.items():
        reason = _reason(level, chosen, fixed, n)
        if reason:
            folded.append((name, reason))
        else:
            chosen[name] = level
    return chosen, tuple(folded)


def _reason(
    level: Levels, chosen: dict[str, Levels], fixed: Design, n: int
) -> str | None:
    """Where a term's variance is if it has none of its own."""
    if level[1] <= 1:
        return "one level"
    if level[1] == n:
        return "in the residual"
    for name, other in chosen.items():
        if other[1] == level[1] and _joint(other, level) == level[1]:
            return f"in {name}"
    return _FIXED if fixed.explains(*level) else None


def _unknown(panel: Panel, sizes: tuple[int, int, int]) -> Components:
    """The result where nothing is estimable but the mean."""
    nan = float("nan")
    mean = panel.intercept() if sizes[0] else nan
    return _result(mean, {}, nan, nan, (), sizes, nan, boundary=False, converged=False)


def _no_spread(panel: Panel, sizes: tuple[int, int, int]) -> Components:
    """The result of scores that are all equal, or equal to the fixed effects."""
    names = tuple(panel.chosen)
    zero, nan = dict.fromkeys(names, 0.0), float("nan")
    return _result(panel.intercept(), zero, 0.0, nan, names, sizes, nan)


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


# --- fitting and intervals -------------------------------------------------------


def _panel(
    scores: Floats,
    fixed: Design,
    codes: dict[str, ArrayLike],
    chosen: dict[str, Levels],
) -> Panel:
    """Scores standardised, what least squares makes of the fixed effects taken out."""
    centre = float(scores.mean()) if scores.size else float("nan")
    rest, least_squares = scores - centre, np.zeros(fixed.kept.size)
    if fixed.kept.size > 1:
        least_squares = np.einsum("ij,i->j", fixed.columns, rest) / max(scores.size, 1)
        rest = rest - np.einsum("ij,j->i", fixed.columns, least_squares)
    least_squares[0] += centre
    spread = float(rest.std()) if scores.size else float("nan")
    return Panel(
        standard=rest / spread if spread > 0 else rest,
        spread=spread,
        design=fixed,
        least_squares=least_squares,
        codes={name: np.asarray(code) for name, code in codes.items()},
        chosen=chosen,
    )


def _estimated(panel: Panel, levels: list[Levels], mean: float) -> Components:
    """Components of a panel, by the way its size asks for."""
    n, n_fixed = panel.standard.size, panel.design.kept.size
    sizes = (n, levels[0][1], levels[1][1])
    if not panel.chosen or n < len(panel.chosen) + 1 + n_fixed:
        return _unknown(panel, sizes)
    if panel.spread <= 1e-12 * max(1.0, abs(mean)):
        return _no_spread(panel, sizes)
    widest = _WIDEST if n <= _PROFILE_UP_TO else _WIDE_AND_LONG
    if "interviewer" in panel.chosen and levels[1][1] > widest and n_fixed == 1:
        found = _wide(panel, levels)
        if found is not None and found.converged:
            return _from_fit(found, panel, sizes, levels)
    return _fitted(panel, sizes, levels)


def _wide(panel: Panel, levels: list[Levels]) -> Fit | None:
    """The fit without dense factors; None where there are too many questions."""
    questions = panel.chosen.get("question")
    if questions is not None and questions[1] > _MOST_QUESTIONS:
        return None
    order = ("candidate", "cand_x_int", "interviewer", "question")
    return fit_sparse(
        panel.standard,
        levels[0][0],
        levels[1][0],
        None if questions is None else questions[0],
        names=tuple(name for name in order if name in panel.chosen),
    )


def _from_fit(
    found: Fit, panel: Panel, sizes: tuple[int, int, int], levels: list[Levels]
) -> Components:
    """A fit of standardised scores in points."""
    result = _in_points(
        found.names,
        found.ratios,
        panel.intercept(found.intercept),
        found.var_resid * panel.spread**2,
        float("nan"),
        sizes,
        levels,
    )
    return replace(result, _fit=found)


def _fitted(
    panel: Panel, sizes: tuple[int, int, int], levels: list[Levels]
) -> Components:
    """Minimise the criterion and put the result into points."""
    likelihood = likelihood_of(panel.standard, panel.design.columns, panel.chosen)
    ratios = best_ratios(likelihood)
    exact = bool(1 / (1 + ratios.sum()) < _NOTHING)
    if exact:
        likelihood = replace(likelihood, noise=_NOISE)
        ratios = best_ratios(likelihood)
    value = value_at(likelihood, ratios)
    criterion = value.deviance + 2 * likelihood.degrees * float(np.log(panel.spread))
    criterion += 2 * float(np.log(np.diagonal(panel.design.triangle)).sum())
    slope = value.gradient * (ratios + KNEE)
    uphill = np.where(ratios == 0, np.minimum(slope, 0), slope)
    result = _in_points(
        likelihood.names,
        ratios,
        panel.intercept(value.fixed),
        value.var_resid * panel.spread**2,
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
    levels: list[Levels],
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


def _information(found: Fit) -> tuple[Floats, Floats]:
    """Second and first derivatives in search coordinates."""
    scale = found.ratios + KNEE
    return found.information * np.outer(scale, scale), found.gradient * scale


def _separate(levels: list[Levels]) -> bool:
    """Whether interviewers differ, and not just as the candidates do."""
    candidates, interviewers = levels[0], levels[1]
    one_each = _joint(candidates, interviewers) == candidates[1] == interviewers[1]
    return interviewers[1] > 1 and not one_each


def panel_weights(
    q: float, k: float, q_question: float | None = None, m: float = 1.0
) -> dict[str, float]:
    """Return what each variance counts in that of a panel's mean score.

    Parameters
    ----------
    q, k, q_question, m : float
        As in `g_qk`.

    Returns
    -------
    dict of str to float
        By term, and "resid".
    """
    return {
        "candidate": 1.0,
        "interviewer": q,
        "question": 1 / (k * m) if q_question is None else q_question,
        "cand_x_int": 1 / k,
        "resid": 1 / (k * m),
    }


def _error(
    components: Components, q: float, k: float, q_question: float | None, m: float
) -> float:
    """Error variance of a panel's mean score in squared points."""
    weights = panel_weights(q, k, q_question, m)
    known = np.nan_to_num(
        [components.var_interviewer, components.var_question, components.var_cand_x_int]
    )
    weight = np.array([weights[name] for name in _NAMES[1:]])
    return float(weight @ known + components.var_resid * weights["resid"])
