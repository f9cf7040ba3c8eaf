"""Time to an event with open cases: curves, quantiles, means, shares, comparisons."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

from orchestration.statistics.proportions import wilson

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Number = TypeVar("Number", np.int64, np.float64)

# A curve this close to the wanted share lies on it: rounding must not decide whether
# one half was reached.
TIE = 1e-9
# Directions in which a covariance is this small beside the largest carry no test.
SINGULAR = 1e-9


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of time to event, by group.

    Attributes
    ----------
    n, n_events : ndarray of int, shape (n_groups,)
        Cases with a known duration, and those among them that ended.
    estimate, low, high : ndarray, shape (n_groups, n_probabilities)
        Time by which the share has ended, in the unit of the durations, and its
        interval; NaN where the curve, or its bound, does not get there.
    """

    n: Integers
    n_events: Integers
    estimate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Survival:
    """Share not yet ended at given times, by group.

    Attributes
    ----------
    n_at_risk : ndarray of int, shape (n_groups, n_times)
        Cases that had neither ended nor left observation just before the time.
    estimate, se, low, high : ndarray, shape (n_groups, n_times)
        Kaplan–Meier share, Greenwood's standard error and the interval; NaN where
        nobody was observed to the time and not everybody had ended before it.
    """

    n_at_risk: Integers
    estimate: Floats
    se: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class RestrictedMean:
    """Mean time to event within the horizon, by group, shape (n_groups,).

    Attributes
    ----------
    n : ndarray of int
        Cases with a known duration.
    estimate, se, low, high : ndarray
        In the unit of the durations; NaN where nobody was observed to the horizon and
        not everybody had ended before it. The bounds are NaN, too, where the standard
        error is 0 because nobody, or everybody at once, ended: the data then do not
        say how sure the mean is.
    """

    n: Integers
    estimate: Floats
    se: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class LogRank:
    """Test that samples of each group end alike.

    Attributes
    ----------
    chi_square, p : ndarray, shape (n_groups,)
        NaN where no time compares two samples.
    df : ndarray of int, shape (n_groups,)
        Samples that are compared, less one.
    observed : ndarray of int, shape (n_groups, n_samples)
        Cases that ended.
    expected : ndarray, shape (n_groups, n_samples)
        Cases that would have ended, were all samples alike.
    """

    chi_square: Floats
    df: Integers
    p: Floats
    observed: Integers
    expected: Floats


@dataclass(frozen=True)
class Incidence:
    """Share ended by each cause at the horizon, by group.

    Attributes
    ----------
    n : ndarray of int, shape (n_groups,)
        Cases with a known duration.
    maturity : ndarray, shape (n_groups,)
        Share of them that ended or were observed to the horizon.
    estimate, variance, low, high : ndarray, shape (n_groups, n_causes)
        Column k - 1 belongs to cause k; NaN where nobody was observed to the horizon
        and not everybody had ended before it.
    """

    n: Integers
    maturity: Floats
    estimate: Floats
    variance: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class _Cases:
    """Cases with a known duration, checked."""

    duration: Floats
    cause: Integers
    group: Integers
    count: Integers
    n_groups: int
    n_causes: int


@dataclass(frozen=True)
class _Table:
    """One row per distinct time of each group; `start` are the groups' first rows."""

    group: Integers
    start: Integers
    time: Floats
    n_at_risk: Integers
    n_by_cause: Integers


def survival_quantiles(
    duration: ArrayLike,
    is_event: ArrayLike,
    *,
    group: ArrayLike,
    n_groups: int | None = None,
    probability: ArrayLike = 0.5,
    count: ArrayLike | None = None,
    level: float = 0.95,
) -> Quantiles:
    """Return Kaplan–Meier quantiles of time to event with log-log intervals.

    Parameters
    ----------
    duration : array_like, shape (n_cases,)
        Time to the event, or to the end of observation; NaN is left out.
    is_event : array_like of bool, shape (n_cases,)
        False while the case is open (censored).
    group : array_like of int, shape (n_cases,)
        Code from 0 of the group each case belongs to.
    n_groups : int, optional
        Rows of the answer; one more than the largest code when left out.
    probability : array_like, scalar or shape (n_probabilities,)
        Shares ended: 0.5 for the median, 0.85 for the time 85 % do not exceed.
    count : array_like of int, shape (n_cases,), optional
        How many equal cases each row stands for; one when left out.
    level : float
        Coverage of the interval.

    Returns
    -------
    Quantiles
        Where the curve is flat at the wanted share, the middle of the flat stretch;
        an upper bound of NaN means that the data do not bound the quantile from above.

    Raises
    ------
    ValueError
        If a duration, count or group code is negative, or a probability is not in
        (0, 1).

    References
    ----------
    Kaplan & Meier (1958), JASA 53, 457-481; Brookmeyer & Crowley (1982), Biometrics
    38, 29-41; transform and flat stretches as in R's survival package.
    """
    shares = np.atleast_1d(np.asarray(probability, dtype=np.float64))
    if not ((shares > 0) & (shares < 1)).all():
        raise ValueError(f"probability must lie in (0, 1), got {shares}")
    is_ended = np.asarray(is_event, dtype=np.bool_).astype(np.int64)
    cases = _cases(duration, is_ended, group, count, n_groups, n_causes=1)
    table = _table(cases)
    survival, spread = _survival(table)
    half = float(ndtri(0.5 + level / 2)) * spread
    with np.errstate(divide="ignore", invalid="ignore"):
        log_log = np.log(-np.log(survival))
        low = np.exp(-np.exp(log_log + half))
        high = np.exp(-np.exp(log_log - half))
    # Before the first event the curve is 1; once all have ended it is 0, and nothing
    # says how much later its upper bound would follow.
    low = np.where(survival == 1, 1.0, np.where(survival == 0, 0.0, low))
    high = np.where(survival == 1, 1.0, high)
    return Quantiles(
        n=_total(cases.group, cases.count, cases.n_groups),
        n_events=_total(table.group, table.n_by_cause[:, 0], cases.n_groups),
        estimate=_crossings(survival, shares, table, cases.n_groups),
        low=_crossings(low, shares, table, cases.n_groups),
        high=_crossings(high, shares, table, cases.n_groups),
    )


def cumulative_incidence(
    duration: ArrayLike,
    cause: ArrayLike,
    *,
    horizon: ArrayLike,
    group: ArrayLike,
    n_groups: int | None = None,
    n_causes: int | None = None,
    count: ArrayLike | None = None,
    level: float = 0.95,
) -> Incidence:
    """Return the Aalen–Johansen share ended by each cause within the horizon.

    Parameters
    ----------
    duration : array_like, shape (n_cases,)
        Time to the end, or to the end of observation; NaN is left out.
    cause : array_like of int, shape (n_cases,)
        0 while the case is open (censored), else a code from 1.
    horizon : array_like, scalar or shape (n_groups,)
        Time up to and including which ends count, in the unit of the durations.
    group, count, level
        As for `survival_quantiles`.
    n_groups, n_causes : int, optional
        Shape of the answer; from the largest codes when left out.

    Returns
    -------
    Incidence
        Intervals are symmetric in log(-log(1 - share)), so that with a single cause
        they are those of the Kaplan–Meier curve. Where nobody or everybody ended by
        the cause that transform has no width: Wilson's interval over the cases whose
        state at the horizon is known stands in; the open ones would only narrow it.

    Raises
    ------
    ValueError
        If a duration, count, group, cause or horizon is negative.

    References
    ----------
    Aalen & Johansen (1978), Scand. J. Statist. 5, 141-150; variance: Gaynor et al.
    (1993), JASA 88, 400-409, the binomial one when no case is open.
    """
    cases = _cases(duration, cause, group, count, n_groups, n_causes)
    until = _horizon("horizon", horizon, cases)
    return _incidence(cases, _table(cases), until, level)


def survival_at(
    duration: ArrayLike,
    is_event: ArrayLike,
    *,
    at: ArrayLike,
    group: ArrayLike,
    n_groups: int | None = None,
    count: ArrayLike | None = None,
    level: float = 0.95,
) -> Survival:
    """Return the Kaplan–Meier share not yet ended at given times.

    Parameters
    ----------
    duration, is_event, group, n_groups, count, level
        As for `survival_quantiles`.
    at : array_like, scalar or shape (n_times,)
        Times, in the unit of the durations; an end at the time counts as ended.

    Returns
    -------
    Survival
        Intervals are symmetric in log(-log(share)). Where nobody or everybody ended
        that transform has no width and Wilson's interval stands in, as in
        `cumulative_incidence`.

    Raises
    ------
    ValueError
        If a duration, count, group code or time is negative.

    References
    ----------
    Kaplan & Meier (1958), JASA 53, 457-481; Kalbfleisch & Prentice (2002), The
    Statistical Analysis of Failure Time Data, 2nd ed., 1.4.
    """
    is_ended = np.asarray(is_event, dtype=np.bool_).astype(np.int64)
    cases = _cases(duration, is_ended, group, count, n_groups, n_causes=1)
    table = _table(cases)
    times = np.atleast_1d(np.asarray(at, dtype=np.float64))
    shape = (times.size, cases.n_groups)
    at_risk = np.zeros(shape, dtype=np.int64)
    estimate, se, low, high = (np.empty(shape) for _ in range(4))
    for place, time in enumerate(times):
        ended = _incidence(cases, table, _horizon("at", time, cases), level)
        still = cases.count * (cases.duration >= time)
        at_risk[place] = _total(cases.group, still, cases.n_groups)
        share = ended.estimate[:, 0]
        is_flat = (share <= TIE) | (share >= 1 - TIE)
        estimate[place] = np.where(is_flat, share < 0.5, 1 - share)
        spread = np.sqrt(np.maximum(ended.variance[:, 0], 0))
        se[place] = np.where(is_flat, 0.0, spread)
        low[place], high[place] = 1 - ended.high[:, 0], 1 - ended.low[:, 0]
    return Survival(at_risk.T, estimate.T, se.T, low.T, high.T)


def restricted_mean(
    duration: ArrayLike,
    is_event: ArrayLike,
    *,
    until: ArrayLike,
    group: ArrayLike,
    n_groups: int | None = None,
    count: ArrayLike | None = None,
    level: float = 0.95,
) -> RestrictedMean:
    """Return the mean time to event, times after the horizon counted as the horizon.

    Parameters
    ----------
    duration, is_event, group, n_groups, count, level
        As for `survival_quantiles`.
    until : array_like, scalar or shape (n_groups,)
        Horizon, in the unit of the durations; infinite for the plain mean of groups
        where all have ended.

    Returns
    -------
    RestrictedMean
        Area under the Kaplan–Meier curve; the interval is normal, cut to lie between
        0 and the horizon.

    Raises
    ------
    ValueError
        If a duration, count, group code or horizon is negative.

    References
    ----------
    Klein & Moeschberger (2003), Survival Analysis, 2nd ed., 4.5; Irwin (1949), J. Hyg.
    47, 188-189.
    """
    is_ended = np.asarray(is_event, dtype=np.bool_).astype(np.int64)
    cases = _cases(duration, is_ended, group, count, n_groups, n_causes=1)
    horizon = _horizon("until", until, cases)
    table = _table(cases)
    survival, _ = _survival(table)
    is_seen = _is_seen(horizon, survival, table, cases)
    limit = np.where(is_seen, horizon, 0.0)
    estimate, left = _area(survival, table, limit)
    ended = table.n_by_cause[:, 0]
    stay = table.n_at_risk - ended
    is_counted = (table.time <= limit[table.group]) & (stay > 0)
    terms = np.where(is_counted, left**2 * ended, 0.0)
    terms /= table.n_at_risk * np.maximum(stay, 1)
    se = np.sqrt(_total(table.group, terms, cases.n_groups))
    # Rounding leaves a trace of a spread where there is none.
    se = np.where(se > TIE * estimate, se, 0.0)
    estimate, se = np.where(is_seen, (estimate, se), np.nan)
    half = np.where(se > 0, float(ndtri(0.5 + level / 2)) * se, np.nan)
    return RestrictedMean(
        n=_total(cases.group, cases.count, cases.n_groups),
        estimate=estimate,
        se=se,
        low=np.maximum(estimate - half, 0.0),
        high=np.minimum(estimate + half, horizon),
    )


def log_rank(
    duration: ArrayLike,
    is_event: ArrayLike,
    *,
    sample: ArrayLike,
    group: ArrayLike,
    n_samples: int | None = None,
    n_groups: int | None = None,
    stratum: ArrayLike | None = None,
    count: ArrayLike | None = None,
) -> LogRank:
    """Return the log-rank test of two samples or more within each group.

    The same as statsmodels' `survdiff`, which takes one group at a time.

    Parameters
    ----------
    duration, is_event, group, n_groups, count
        As for `survival_quantiles`; each group has a test of its own.
    sample : array_like of int, shape (n_cases,)
        Code from 0 of the sample each case belongs to: the sides that are compared.
    n_samples : int, optional
        Columns of the answer; one more than the largest code when left out.
    stratum : array_like of int, shape (n_cases,), optional
        Code from 0; cases are compared with those of their own stratum only.

    Returns
    -------
    LogRank
        With ties the variance is hypergeometric. Samples without cases, or never at
        risk together with another when one ends, take no part.

    Raises
    ------
    ValueError
        If a duration, count or code is negative, or lengths differ.

    References
    ----------
    Mantel (1966), Cancer Chemother. Rep. 50, 163-170; Peto & Peto (1972), JRSS A
    135(2), 185-207.
    """
    is_ended = np.asarray(is_event, dtype=np.bool_).astype(np.int64)
    samples, strata, groups = (
        _codes(name, values, is_ended.shape)
        for name, values in (("sample", sample), ("stratum", stratum), ("group", group))
    )
    if n_samples is None:
        n_samples = int(samples.max(initial=-1)) + 1
    if n_groups is None:
        n_groups = int(groups.max(initial=-1)) + 1
    for name, codes, size in (
        ("sample", samples, n_samples),
        ("group", groups, n_groups),
    ):
        if (codes >= size).any():
            raise ValueError(f"{name} must be below {size}, got {codes.max()}")
    n_strata = int(strata.max(initial=0)) + 1
    # A layer is a stratum of a group: cases are compared inside it. Each pair of
    # sample and end is a cause.
    found, layer = np.unique(groups * n_strata + strata, return_inverse=True)
    causes = 2 * samples + is_ended + 1
    cases = _cases(duration, causes, layer, count, found.size, 2 * n_samples)
    return _compared(_table(cases), found // n_strata, n_groups)


def _compared(table: _Table, group_of: Integers, n_groups: int) -> LogRank:
    """The test from a table by layer whose causes are pairs of sample and end."""
    ended = table.n_by_cause[:, 1::2]
    leaving = ended + table.n_by_cause[:, ::2]
    size = _total(table.group, leaving, group_of.size)
    at_risk = size[table.group] - _running(leaving, table.start) + leaving
    n, d = table.n_at_risk, ended.sum(axis=1)
    share = at_risk / n[:, None]
    spread = d * (n - d) / np.maximum(n - 1, 1)
    pairs = -share[:, :, None] * share[:, None, :]
    diagonal = np.arange(share.shape[1])
    pairs[:, diagonal, diagonal] += share
    pairs *= spread[:, None, None]
    group = group_of[table.group]
    observed = _total(group, ended, n_groups)
    expected = _total(group, share * d[:, None], n_groups)
    covariance = _total(group, pairs.reshape(len(pairs), share.shape[1] ** 2), n_groups)
    values, vectors = np.linalg.eigh(covariance.reshape(n_groups, *pairs.shape[1:]))
    along = np.einsum("gsv,gs->gv", vectors, observed - expected)
    is_usable = values > SINGULAR * values.max(axis=1, initial=0.0)[:, None]
    terms = np.divide(along**2, values, out=np.zeros_like(values), where=is_usable)
    df = is_usable.sum(axis=1)
    chi_square = np.where(df > 0, terms.sum(axis=1), np.nan)
    return LogRank(chi_square, df, chdtrc(df, chi_square), observed, expected)


def _incidence(cases: _Cases, table: _Table, until: Floats, level: float) -> Incidence:
    """Shares ended by each cause until each group's horizon."""
    survival, _ = _survival(table)
    before = _before(survival, table)
    is_inside = table.time <= until[table.group]
    hazard = table.n_by_cause * (is_inside / table.n_at_risk)[:, None]
    step = before[:, None] * hazard
    estimate = _total(table.group, step, cases.n_groups)
    left = estimate[table.group] - _running(step, table.start)
    variance = _total(
        table.group,
        _variance_steps(hazard, left, before, survival, table),
        cases.n_groups,
    )
    is_known = (cases.cause > 0) | (cases.duration >= until[cases.group])
    known = _total(cases.group, cases.count * is_known, cases.n_groups)
    is_seen = _is_seen(until, survival, table, cases)
    estimate = np.where(is_seen[:, None], np.clip(estimate, 0.0, 1.0), np.nan)
    variance = np.where(is_seen[:, None], variance, np.nan)
    low, high = _incidence_bounds(estimate, variance, known, level)
    n = _total(cases.group, cases.count, cases.n_groups)
    with np.errstate(invalid="ignore"):
        maturity = known / n
    return Incidence(n, maturity, estimate, variance, low, high)


def _variance_steps(
    hazard: Floats, left: Floats, before: Floats, survival: Floats, table: _Table
) -> Floats:
    """Each time's share of the variance, from the multinomial hazards of its causes.

    `left` is what the cause still collects after the time. Someone who ends by the
    cause adds 1, someone who stays adds on average left / survival, others add 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        later = np.where(survival[:, None] > 0, left / survival[:, None], 0.0)
    total = hazard.sum(axis=1, keepdims=True)
    spread = (
        hazard * (1 - later) ** 2
        + (total - hazard) * later**2
        - (hazard - total * later) ** 2
    )
    steps: Floats = before[:, None] ** 2 * spread / table.n_at_risk[:, None]
    return steps


def _incidence_bounds(
    estimate: Floats, variance: Floats, known: Integers, level: float
) -> tuple[Floats, Floats]:
    """Bounds symmetric in log(-log(1 - share)), Wilson's at none and all."""
    is_none, is_all = estimate <= TIE, estimate >= 1 - TIE
    stand_in = wilson(
        np.where(is_all, known[:, None], 0),
        np.broadcast_to(known[:, None], estimate.shape),
        level=level,
    )
    inner = np.where(is_none | is_all, 0.5, estimate)
    log_rest = np.log1p(-inner)
    half = (
        float(ndtri(0.5 + level / 2)) * np.sqrt(np.maximum(variance, 0)) / (1 - inner)
    )
    factor = np.exp(half / log_rest)
    low = -np.expm1(log_rest * factor)
    high = -np.expm1(log_rest / factor)
    low = np.where(is_none | is_all, stand_in.low, low)
    high = np.where(is_none | is_all, stand_in.high, high)
    return low, high


def _survival(table: _Table) -> tuple[Floats, Floats]:
    """Share not ended after each time, and its standard error on the log-log scale."""
    ended = table.n_by_cause.sum(axis=1)
    stay = table.n_at_risk - ended
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(stay > 0, np.log1p(-ended / table.n_at_risk), 0.0)
        terms = np.where(stay > 0, ended / (table.n_at_risk * stay), 0.0)
    log_survival = _running(logs, table.start)
    # When all have ended the curve is exactly 0.
    survival = np.where(stay > 0, np.exp(log_survival), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.maximum(_running(terms, table.start), 0.0)) / -log_survival
    return survival, np.where(stay > 0, spread, np.nan)


def _crossings(curve: Floats, shares: Floats, table: _Table, n_groups: int) -> Floats:
    """Time at which each group's curve falls to 1 - share, by group and share."""
    times = np.full((n_groups, shares.size), np.nan)
    if not table.time.size:
        return times
    rows = np.arange(curve.size)
    codes = table.group[table.start]
    ends = np.append(table.start[1:], curve.size) - 1
    for column, share in enumerate(shares):
        found = []
        for limit in (1 - share + TIE, 1 - share - TIE):
            first = np.where(curve <= limit, rows, curve.size)
            found.append(np.minimum.reduceat(first, table.start))
        # The row found may be another group's or none at all.
        reached, passed = (np.minimum(first, ends) for first in found)
        middle = (table.time[reached] + table.time[passed]) / 2
        times[codes, column] = np.where(found[0] <= ends, middle, np.nan)
    return times


def _is_seen(until: Floats, survival: Floats, table: _Table, cases: _Cases) -> Booleans:
    """Whether a group was observed to its horizon, or all had ended before."""
    longest = np.full(cases.n_groups, -1.0)
    np.maximum.at(longest, cases.group, cases.duration)
    is_exhausted = np.zeros(cases.n_groups, dtype=np.bool_)
    is_exhausted[table.group[survival == 0]] = True
    return (longest >= until) | (is_exhausted & ~np.isnan(until))


def _area(survival: Floats, table: _Table, horizon: Floats) -> tuple[Floats, Floats]:
    """Area under each curve up to its horizon, and what is left after each time."""
    reached = np.minimum(table.time, horizon[table.group])
    previous = np.concatenate([[0.0], reached])[:-1]
    previous[table.start] = 0.0
    pieces = _before(survival, table) * (reached - previous)
    # After a group's last time the curve stays where it is.
    ends = np.append(table.start[1:], table.time.size)[: table.start.size] - 1
    ends = ends[(survival[ends] > 0) & (horizon[table.group[ends]] > reached[ends])]
    area = _total(table.group, pieces, horizon.size)
    beyond = horizon[table.group[ends]] - reached[ends]
    area[table.group[ends]] += survival[ends] * beyond
    return area, area[table.group] - _running(pieces, table.start)


def _before(survival: Floats, table: _Table) -> Floats:
    """Share not ended just before each time."""
    before = np.concatenate([[1.0], survival])[:-1]
    before[table.start] = 1.0
    return before


def _horizon(name: str, until: ArrayLike, cases: _Cases) -> Floats:
    """Horizon of each group, checked."""
    horizon = np.asarray(until, dtype=np.float64)
    if (horizon < 0).any():
        raise ValueError(f"{name} must not be negative, got {np.nanmin(horizon):g}")
    return np.broadcast_to(horizon, (cases.n_groups,))


def _table(cases: _Cases) -> _Table:
    """Cases counted by group, distinct time and cause."""
    order = np.lexsort((cases.duration, cases.group))
    group, time = cases.group[order], cases.duration[order]
    is_first = np.ones(group.size, dtype=np.bool_)
    is_first[1:] = group[1:] != group[:-1]
    is_new = is_first.copy()
    is_new[1:] |= time[1:] != time[:-1]
    n_columns = cases.n_causes + 1
    cell = (np.cumsum(is_new) - 1) * n_columns + cases.cause[order]
    n_rows = int(is_new.sum())
    leaving = np.bincount(cell, cases.count[order], minlength=n_rows * n_columns)
    leaving = leaving.astype(np.int64).reshape(n_rows, n_columns)
    group, time, start = group[is_new], time[is_new], np.flatnonzero(is_first[is_new])
    gone = leaving.sum(axis=1)
    size = _total(group, gone, cases.n_groups)
    n_at_risk = size[group] - _running(gone, start) + gone
    return _Table(group, start, time, n_at_risk, leaving[:, 1:])


def _running(values: NDArray[Number], start: Integers) -> NDArray[Number]:
    """Running sum along the rows, anew from each start.

    One sum over all less what came before a group would leave crumbs of other groups in
    its last digits.
    """
    total = np.empty_like(values)
    for first, last in pairwise([*start.tolist(), len(values)]):
        np.cumsum(values[first:last], axis=0, out=total[first:last])
    return total


def _total(group: Integers, values: NDArray[Number], n_groups: int) -> NDArray[Number]:
    """Sum of the rows of each group; columns apart."""
    total = np.zeros((n_groups, *values.shape[1:]), dtype=values.dtype)
    if values.ndim == 1:
        total[:] = np.bincount(group, values, n_groups)
    else:
        for column in range(values.shape[1]):
            total[:, column] = np.bincount(group, values[:, column], n_groups)
    return total


def _codes(name: str, values: ArrayLike | None, shape: tuple[int, ...]) -> Integers:
    """Codes from 0, checked; all 0 when left out."""
    if values is None:
        return np.zeros(shape, dtype=np.int64)
    codes = np.asarray(values)
    if codes.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {codes.shape}")
    if (codes < 0).any():
        raise ValueError(f"{name} must not be negative, got {codes.min()}")
    return codes.astype(np.int64)


def _cases(
    duration: ArrayLike,
    cause: ArrayLike,
    group: ArrayLike,
    count: ArrayLike | None,
    n_groups: int | None,
    n_causes: int | None,
) -> _Cases:
    """Cases with a known duration and at least one member, checked."""
    days = np.asarray(duration, dtype=np.float64)
    causes, groups = np.asarray(cause), np.asarray(group)
    counts = np.ones(days.shape, np.int64) if count is None else np.asarray(count)
    columns = {"duration": days, "cause": causes, "group": groups, "count": counts}
    for name, values in columns.items():
        if values.shape != days.shape:
            raise ValueError(f"{name} must have shape {days.shape}, got {values.shape}")
        if (values < 0).any():
            raise ValueError(
                f"{name} must not be negative, got {values[values < 0][0]}"
            )
    sizes = {"group": n_groups, "cause": None if n_causes is None else n_causes + 1}
    for name, size in sizes.items():
        if size is not None and (columns[name] >= size).any():
            raise ValueError(f"{name} must be below {size}, got {columns[name].max()}")
    if n_groups is None:
        n_groups = int(groups.max(initial=-1)) + 1
    if n_causes is None:
        n_causes = int(causes.max(initial=0))
    kept = ~np.isnan(days) & (counts > 0)
    return _Cases(
        duration=days[kept],
        cause=causes[kept].astype(np.int64),
        group=groups[kept].astype(np.int64),
        count=counts[kept].astype(np.int64),
        n_groups=n_groups,
        n_causes=n_causes,
    )
