"""Flow through a stage: does what arrives also leave."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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
    replicates: int,
    rng: np.random.Generator,
    block: int = 4,
    level: float = 0.95,
) -> Growth:
    """Return arrivals less departures a week, with an interval over blocks of weeks.

    Parameters
    ----------
    arrived, left : array_like, shape (n_stages, n_weeks)
        Counts of consecutive whole weeks; no missing values.
    replicates, block : int
        Draws, and length of a block in weeks (at most half of the weeks): neighbouring
        weeks depend on each other, so they are drawn together.

    Returns
    -------
    Growth
        Arrays of shape (n_stages,), in applications a week. Interval and p come from
        circular blocks; p is the share of draws around zero that reach the estimate.
        NaN with fewer than four weeks or no movement at all.

    References
    ----------
    Politis & Romano (1992), A circular block-resampling procedure for stationary data;
    Little (1961), Oper. Res. 9(3), 383-387, for arrivals and departures in balance.
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
    n_blocks = -(-n_weeks // block)
    starts = rng.integers(n_weeks, size=(replicates, n_blocks))
    weeks = (starts[:, :, None] + np.arange(block)).reshape(replicates, -1)
    weights = np.zeros((replicates, n_weeks))
    drawn = weeks[:, :n_weeks] % n_weeks
    np.add.at(weights, (np.arange(replicates)[:, None], drawn), 1.0)
    means = weights @ net.T / n_weeks
    tails = [0.5 - level / 2, 0.5 + level / 2]
    low, high = np.quantile(means, tails, axis=0)
    reached = (means - estimate >= estimate - 1e-12).sum(axis=0)
    p = (1 + reached) / (replicates + 1)
    return Growth(*(np.where(still, np.nan, part) for part in (estimate, low, high, p)))
