"""Dependability, and what more interviewers or questions would do for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration.statistics.crossed import (
    NO_INTERVAL,
    Components,
    share_errors,
    share_limits,
)
from orchestration.statistics.crossed_bootstrap import (
    BOOTSTRAP,
    Draws,
    percentile_limits,
)
from orchestration.statistics.crossed_profile import Share

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CROSSED = "p x i x q"
QUESTIONS_NESTED = "p x (q:i)"
INTERVIEWERS_NESTED = "(i:p) x q"
ALL_NESTED = "q:i:p"
DESIGNS = (CROSSED, QUESTIONS_NESTED, INTERVIEWERS_NESTED, ALL_NESTED)
_TERMS = ("candidate", "interviewer", "question", "cand_x_int", "resid")


@dataclass(frozen=True)
class DecisionStudy:
    """Reliability by numbers of interviewers (rows) and of questions (columns).

    Attributes
    ----------
    design : str
        One of `DESIGNS`.
    n_interviewers, n_questions : ndarray of int, shapes (n_rows,) and (n_columns,)
        Interviewers per candidate and questions per interviewer.
    g, g_se, g_low, g_high : ndarray, shape (n_rows, n_columns)
        Generalisability coefficient, for comparing candidates, its standard error and
        limits.
    phi, phi_se, phi_low, phi_high : ndarray, shape (n_rows, n_columns)
        Index of dependability, for a cut score, its standard error and limits.
    sem_relative, sem_absolute : ndarray, shape (n_rows, n_columns)
        Standard errors of measurement in points: of a difference from the others'
        mean, and of the score itself.
    interviewers_for_g, interviewers_for_phi : ndarray, shape (n_columns,)
        Fewest interviewers that reach the target; NaN where no number does.
    ci_method : str
        "profile likelihood", "asymptotic REML", "parametric bootstrap" or "none".
    """

    design: str
    n_interviewers: Integers
    n_questions: Integers
    g: Floats
    g_se: Floats
    g_low: Floats
    g_high: Floats
    phi: Floats
    phi_se: Floats
    phi_low: Floats
    phi_high: Floats
    sem_relative: Floats
    sem_absolute: Floats
    interviewers_for_g: Floats
    interviewers_for_phi: Floats
    ci_method: str


def phi(
    components: Components, k: float, *, n_questions: float | None = None, m: float = 1
) -> float:
    """Return Φ, the dependability of a candidate's mean against a fixed standard.

    Where `g_qk` counts the severity by which two candidates' panels differ, Φ counts
    all of it: a cut score does not move with a strict panel.

    Parameters
    ----------
    components : Components
        Variances; NaN counts as 0, except the candidates'.
    k, m : float
        Interviewers per candidate (`k_harmonic`) and ratings per card.
    n_questions : float, optional
        Different questions per candidate. Default k m: every rating on another.

    Returns
    -------
    float
        In [0, 1]; NaN if the candidates' variance is not known or all variances are 0.

    References
    ----------
    Brennan (2001), Generalizability Theory, ch. 2.
    """
    error = sem_absolute(components, k, n_questions=n_questions, m=m) ** 2
    return float(_ratio(components.var_candidate, components.var_candidate + error))


def sem_absolute(
    components: Components, k: float, *, n_questions: float | None = None, m: float = 1
) -> float:
    """Return the standard error of a candidate's mean as an absolute score, in points.

    `sem` is the relative one, of a difference between candidates.

    Parameters
    ----------
    components, k, n_questions, m
        As in `phi`.

    Returns
    -------
    float
        At least 0; NaN if the residual variance is not known.

    References
    ----------
    Brennan (2001), Generalizability Theory, ch. 2.
    """
    questions = k * m if n_questions is None else n_questions
    weight = np.array([1 / k, 1 / questions, 1 / k])
    error = weight @ np.nan_to_num(_variances(components)[1:4])
    return float(np.sqrt(error + components.var_resid / (k * m)))


def phi_cut(
    components: Components,
    k: float,
    cut: float,
    *,
    mean: float,
    mean_se: float = 0.0,
    n_questions: float | None = None,
    m: float = 1,
) -> float:
    """Return Φ(λ), the dependability of decisions at a cut score.

    It is near Φ where the cut lies at the mean, and higher the farther away it lies. As
    the mean is an estimate, its squared distance is taken less its error variance: at
    the mean itself the index is below Φ (for right and wrong answers, KR-21).

    Parameters
    ----------
    components, k, n_questions, m
        As in `phi`.
    cut : float
        Cut score in points.
    mean, mean_se : float
        Mean of the ratings and its standard error, such as `FixedEffects.mean`.

    Returns
    -------
    float
        In [0, 1]; NaN as for `phi`.

    References
    ----------
    Brennan & Kane (1977), J. Educ. Meas. 14, 277-289; Brennan (2001), Generalizability
    Theory, ch. 2.
    """
    error = sem_absolute(components, k, n_questions=n_questions, m=m) ** 2
    told = components.var_candidate + (mean - cut) ** 2 - mean_se**2
    return float(_ratio(np.maximum(told, 0.0), np.maximum(told, 0.0) + error))


def decision_study(
    fit: Components,
    n_interviewers: ArrayLike,
    n_questions: ArrayLike = 1,
    *,
    design: str = ALL_NESTED,
    target: float = 0.70,
    level: float = 0.95,
    draws: Draws | None = None,
) -> DecisionStudy:
    """Return reliability for each number of interviewers and of questions.

    Designs are named as in generalisability theory, p for candidates: in "p x i x q"
    all meet the same interviewers, who ask the same questions; in "p x (q:i)" each
    interviewer has questions of their own; in "(i:p) x q" each candidate has other
    interviewers, who ask all the same questions; in "q:i:p" nothing is shared. Effects
    of candidates with questions, and of interviewers with questions, are part of the
    residual and shrink with it.

    Parameters
    ----------
    fit : Components
        From `components`; variances that are NaN count as 0, except the candidates'.
    n_interviewers, n_questions : array_like of int, shapes (n_rows,) and (n_columns,)
        Interviewers per candidate and questions per interviewer, at least 1.
    design : str
        One of `DESIGNS`.
    target : float
        Reliability wanted, in (0, 1).
    level : float
        Confidence in (0, 1).
    draws : Draws, optional
        From `draw_components`: limits are then percentiles and errors the draws'
        standard deviations. Otherwise limits are those of `intervals`, and errors
        those of the delta method, which hold variances of zero at zero; NaN where that
        is the candidates'.

    Returns
    -------
    DecisionStudy
        NaN where the candidates' variance is not known.

    Raises
    ------
    ValueError
        If a number is below 1, the target is not between 0 and 1, or the design is
        none of `DESIGNS`.

    References
    ----------
    Brennan (2001), Generalizability Theory, ch. 4 and 5.
    """
    rows, columns = _counts(n_interviewers), _counts(n_questions)
    if design not in DESIGNS:
        raise ValueError(f"design must be one of {DESIGNS}, got {design!r}")
    if not 0 < target < 1:
        raise ValueError(f"target must be between 0 and 1, got {target}")
    weights = design_weights(rows[:, None], columns[None, :], design=design)
    known = _variances(fit)
    known[1:4] = np.nan_to_num(known[1:4])
    errors = weights[..., 1:] @ known[1:]
    coefficient = _ratio(known[0], known[0] + errors)
    spread = _spread(fit, weights, level, draws)
    needed = np.stack([_needed(known, columns, design, target, kind=k) for k in (0, 1)])
    return DecisionStudy(
        design=design,
        n_interviewers=rows,
        n_questions=columns,
        g=coefficient[0],
        g_se=spread.se[0],
        g_low=spread.low[0],
        g_high=spread.high[0],
        phi=coefficient[1],
        phi_se=spread.se[1],
        phi_low=spread.low[1],
        phi_high=spread.high[1],
        sem_relative=np.sqrt(errors[0]),
        sem_absolute=np.sqrt(errors[1]),
        interviewers_for_g=needed[0],
        interviewers_for_phi=needed[1],
        ci_method=spread.method,
    )


def design_weights(
    n_interviewers: ArrayLike, n_questions: ArrayLike, *, design: str = ALL_NESTED
) -> Floats:
    """Return what each variance counts in the error of a candidate's mean.

    Parameters
    ----------
    n_interviewers, n_questions : array_like, shapes that broadcast to (...)
        Interviewers per candidate and questions per interviewer.
    design : str
        One of `DESIGNS`.

    Returns
    -------
    ndarray, shape (2, ..., 5)
        For relative and absolute error; last axis: candidate (1), interviewer,
        question, interaction, residual.
    """
    i, q = np.broadcast_arrays(
        np.asarray(n_interviewers, dtype=np.float64),
        np.asarray(n_questions, dtype=np.float64),
    )
    own_interviewers = design in (INTERVIEWERS_NESTED, ALL_NESTED)
    own_questions = design in (QUESTIONS_NESTED, ALL_NESTED)
    question = 1 / (i * q) if own_questions else 1 / q
    absolute = np.stack([np.ones_like(i), 1 / i, question, 1 / i, 1 / (i * q)], axis=-1)
    relative = absolute.copy()
    if not own_interviewers:
        relative[..., 1] = 0.0
    if design != ALL_NESTED:
        relative[..., 2] = 0.0
    return np.stack([relative, absolute])


@dataclass(frozen=True)
class _Spread:
    """Errors and limits, shape (2, n_rows, n_columns): of G and of Φ."""

    se: Floats
    low: Floats
    high: Floats
    method: str


def _spread(
    fit: Components, weights: Floats, level: float, draws: Draws | None
) -> _Spread:
    """Errors and limits of the shares with these weights, each distinct one once."""
    shape = weights.shape[:-1]
    nothing = np.full(shape, np.nan)
    if np.isnan(fit.var_candidate) or "candidate" not in fit._names:
        return _Spread(nothing, nothing, nothing, NO_INTERVAL)
    distinct, which = np.unique(
        weights.reshape(-1, len(_TERMS)), axis=0, return_inverse=True
    )
    named = [dict(zip(_TERMS, row.tolist(), strict=True)) for row in distinct]
    if draws is not None:
        values = [draws.share(row) for row in named]
        se = np.array([np.nanstd(v, ddof=1) for v in values])
        limits = [percentile_limits(v, level=level) for v in values]
        method = BOOTSTRAP
    else:
        shares = [Share.of(fit._names, row) for row in named]
        se = share_errors(fit, shares)
        limits, method = share_limits(fit, shares, level=level)
    ends = np.array(limits).reshape(-1, 2) if limits else np.full((len(se), 2), np.nan)
    se, low, high = (each[which].reshape(shape) for each in (se, *ends.T))
    return _Spread(se, low, high, method)


def _needed(
    known: Floats, columns: Integers, design: str, target: float, *, kind: int
) -> Floats:
    """Fewest interviewers; what they do not divide must leave room for the rest."""
    one = design_weights(1, columns, design=design)[kind][:, 1:] @ known[1:]
    fixed = np.zeros(columns.size)
    if kind and design in (CROSSED, INTERVIEWERS_NESTED):
        fixed = known[2] / columns
    room = known[0] * (1 - target) / target - fixed
    with np.errstate(divide="ignore", invalid="ignore"):
        fewest = np.maximum(np.ceil((one - fixed) / room - 1e-9), 1.0)
    return np.where((room > 0) & np.isfinite(fewest), fewest, np.nan)


def _variances(components: Components) -> Floats:
    return np.array([getattr(components, f"var_{name}") for name in _TERMS])


def _counts(values: ArrayLike) -> Integers:
    counts = np.atleast_1d(np.asarray(values)).astype(np.int64)
    if counts.ndim != 1 or (counts < 1).any():
        raise ValueError(f"numbers must be at least 1, got {values!r}")
    return counts


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Quotient; NaN where the whole is 0 or not known."""
    over = np.asarray(whole, dtype=np.float64)
    ok = over > 0
    return np.where(ok, np.asarray(part) / np.where(ok, over, 1.0), np.nan)
