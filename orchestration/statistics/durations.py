"""Time to an event with open cases: quantiles, and shares ended by a horizon."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from orchestration.statistics.proportions import wilson

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Number = TypeVar("Number", np.int64, np.float64)

# A curve this close to the wanted share lies on it: rounding must not decide whether
# one half was reached.
TIE = 1e-9


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
        n=_total(cases.group, cases.count, cases),
        n_events=_total(table.group, table.n_by_cause[:, 0], cases),
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
    until = np.asarray(horizon, dtype=np.float64)
    if (until < 0).any():
        raise ValueError(f"horizon must not be negative, got {np.nanmin(until):g}")
    until = np.broadcast_to(until, (cases.n_groups,))
    table = _table(cases)
    survival, _ = _survival(table)
    before = np.concatenate([[1.0], survival])[:-1]
    before[table.start] = 1.0
    is_inside = table.time <= until[table.group]
    hazard = table.n_by_cause * (is_inside / table.n_at_risk)[:, None]
    step = before[:, None] * hazard
    estimate = _total(table.group, step, cases)
    left = estimate[table.group] - _running(step, table.start)
    variance = _total(
        table.group, _variance_steps(hazard, left, before, survival, table), cases
    )
    is_known = (cases.cause > 0) | (cases.duration >= until[cases.group])
    known = _total(cases.group, cases.count * is_known, cases)
    is_seen = _observed_to(until, cases) | _is_exhausted(survival, table, cases)
    estimate = np.where(is_seen[:, None], np.clip(estimate, 0.0, 1.0), np.nan)
    variance = np.where(is_seen[:, None], variance, np.nan)
    low, high = _incidence_bounds(estimate, variance, known, level)
    n = _total(cases.group, cases.count, cases)
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
    # Running sums pass from group to group and leave crumbs; before a group's first
    # event the curve is exactly 1, and when all have ended exactly 0.
    log_survival[_running((ended > 0).astype(np.int64), table.start) == 0] = 0.0
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


def _observed_to(until: Floats, cases: _Cases) -> Booleans:
    """Whether anyone of the group was observed to its horizon."""
    longest = np.full(cases.n_groups, -1.0)
    np.maximum.at(longest, cases.group, cases.duration)
    return longest >= until


def _is_exhausted(survival: Floats, table: _Table, cases: _Cases) -> Booleans:
    """Whether all of the group had ended by its last time."""
    exhausted = np.zeros(cases.n_groups, dtype=np.bool_)
    exhausted[table.group[survival == 0]] = True
    return exhausted


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
    size = _total(group, gone, cases)
    n_at_risk = size[group] - _running(gone, start) + gone
    return _Table(group, start, time, n_at_risk, leaving[:, 1:])


def _running(values: NDArray[Number], start: Integers) -> NDArray[Number]:
    """Running sum along the rows, anew from each start."""
    total = np.cumsum(values, axis=0, dtype=values.dtype)
    sizes = np.diff(np.append(start, len(values)))
    return total - np.repeat(total[start] - values[start], sizes, axis=0)


def _total(group: Integers, values: NDArray[Number], cases: _Cases) -> NDArray[Number]:
    """Sum of the rows of each group; columns apart."""
    total = np.zeros((cases.n_groups, *values.shape[1:]), dtype=values.dtype)
    if values.ndim == 1:
        total[:] = np.bincount(group, values, cases.n_groups)
    else:
        for column in range(values.shape[1]):
            total[:, column] = np.bincount(group, values[:, column], cases.n_groups)
    return total


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
