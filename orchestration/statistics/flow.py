"""Flow through a stage: how many are in it, how long, and does what arrives leave."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Queue:
    """What Little's law links, by stage: mean number, rates, mean time of a visit."""

    number: Floats
    arrival_rate: Floats
    throughput: Floats
    time: Floats


def littles_law(
    time_inside: ArrayLike,
    arrived: ArrayLike,
    left: ArrayLike,
    *,
    length: float,
    per: float = 1.0,
) -> Queue:
    """Return the mean number in a stage, its rates and its mean time, L = lambda W.

    Parameters
    ----------
    time_inside : array_like, shape (n_stages,)
        Time that all visits together spent in the stage inside the window.
    arrived, left : array_like, shape (n_stages,)
        Visits that began, and that ended, inside the window.
    length : float
        Length of the window in the unit of `time_inside`, above zero.
    per : float
        Length of the unit of time in which rates are counted: 7 for arrivals a week
        where `time_inside` is in days.

    Returns
    -------
    Queue
        Arrays of shape (n_stages,). `number` is L, `arrival_rate` lambda, and `time` W
        in the unit of `time_inside`; number x per = arrival_rate x time always. `time`
        is the mean stay where the window starts and ends with nobody in the stage;
        elsewhere it counts what earlier visits still spent inside, and leaves out what
        those under way spend after the end. NaN where nobody arrived, and where an
        input is missing.

    Raises
    ------
    ValueError
        The three arrays differ in shape, or `length` or `per` is not above zero.

    References
    ----------
    Little (1961), Oper. Res. 9(3), 383-387; Little & Graves (2008), Little's law, in
    Building Intuition, 81-100, for windows of finite length.
    """
    inside, arrivals, departures = (
        np.asarray(part, float) for part in (time_inside, arrived, left)
    )
    if not inside.shape == arrivals.shape == departures.shape:
        raise ValueError(
            "time inside, arrivals and departures are of the same stages, got shapes"
            f" {inside.shape}, {arrivals.shape} and {departures.shape}"
        )
    if not (length > 0 and per > 0):
        raise ValueError(
            f"length and per are lengths of time above zero, got {length} and {per}"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        time = np.where(arrivals > 0, inside / arrivals, np.nan)
    units = length / per
    return Queue(inside / length, arrivals / units, departures / units, time)


@dataclass(frozen=True)
class Growth:
    """Backlog growth a week, its interval, and the one-sided p of growth above zero."""

    estimate: Floats
    low: Floats
    high: Floats
    p: Floats


def backlog_growth(
    arrived: ArrayLike,
    left: ArrayLike,
    *,
    block: int | None = None,
    level: float = 0.95,
) -> Growth:
    """Return arrivals less departures a week, with an interval over blocks of weeks.

    Parameters
    ----------
    arrived, left : array_like, shape (n_stages, n_weeks)
        Counts of consecutive whole weeks; no missing values.
    block : int, optional
        Length of a block in weeks (at most half of the weeks): neighbouring weeks
        depend on each other, so they are taken together. When left out it grows with
        the cube root of the weeks, which is best for a variance: 4 of a quarter, 6 of a
        year, 8 of two years.

    Returns
    -------
    Growth
        Arrays of shape (n_stages,), in applications a week. The variance is that of the
        circular block bootstrap, which needs no draws, times n/(n - block) because the
        mean is estimated; limits and p are Student's with 1.5 n/block - 1 degrees of
        freedom, as of overlapping batch means. Percentiles of draws are too narrow: a
        quarter has three blocks only. NaN with fewer than four weeks or no movement.

    References
    ----------
    Politis & Romano (1992), A circular block-resampling procedure for stationary data;
    Meketon & Schmeiser (1984), Overlapping batch means, Proc. Winter Simulation Conf.,
    227-230, for the degrees of freedom; Hall, Horowitz & Jing (1995), Biometrika 82,
    561-574, for the length of blocks.
    """
    arrivals, departures = np.asarray(arrived, float), np.asarray(left, float)
    if arrivals.shape != departures.shape or arrivals.ndim != 2:
        raise ValueError(
            "arrivals and departures are tables of stages by weeks, got"
            f" {arrivals.shape} and {departures.shape}"
        )
    net = arrivals - departures
    n_stages, n_weeks = net.shape
    estimate = net.mean(axis=1) if n_weeks else np.full(n_stages, np.nan)
    still = ((arrivals == 0) & (departures == 0)).all(axis=1)
    if n_weeks < 4:
        nothing = np.full(n_stages, np.nan)
        return Growth(np.where(still, np.nan, estimate), nothing, nothing, nothing)
    if block is None:
        block = round(4 * (n_weeks / 13) ** (1 / 3))
    block = max(1, min(block, n_weeks // 2))
    around = np.concatenate([net, net[:, : block - 1]], axis=1)
    means = np.lib.stride_tricks.sliding_window_view(around, block, axis=1).mean(axis=2)
    squares = ((means - estimate[:, None]) ** 2).mean(axis=1)
    error = np.sqrt(squares * block / n_weeks * n_weeks / (n_weeks - block))
    freedom = 1.5 * n_weeks / block - 1
    half = stats.t.ppf(0.5 + level / 2, freedom) * error
    with np.errstate(invalid="ignore", divide="ignore"):
        p = stats.t.sf(estimate / error, freedom)
    # Without any spread the growth is certain, or there is none.
    p = np.where(error > 0, p, np.where(estimate > 0, 0.0, 1.0))
    parts = (estimate, estimate - half, estimate + half, p)
    return Growth(*(np.where(still, np.nan, part) for part in parts))
