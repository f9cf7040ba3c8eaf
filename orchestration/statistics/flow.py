"""Flow through a stage: does what arrives also leave."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """Backlog growth a week, its interval, and the one-sided p of growth above zero."""

    estimate: Floats
    low: Floats
    high: Floats
    p: Floats


def backlog_growth(
    arrived: ArrayLike, left: ArrayLike, *, block: int = 4, level: float = 0.95
) -> Growth:
    """Return arrivals less departures a week, with an interval over blocks of weeks.

    Parameters
    ----------
    arrived, left : array_like, shape (n_stages, n_weeks)
        Counts of consecutive whole weeks; no missing values.
    block : int
        Length of a block in weeks (at most half of the weeks): neighbouring weeks
        depend on each other, so they are taken together.

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
    227-230, for the degrees of freedom; Little (1961), Oper. Res. 9(3), 383-387, for
    arrivals and departures in balance.
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
