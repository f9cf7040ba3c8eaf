"""A company's interview cards: who met whom, how strictly, and when."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.calibration.scales import SEVERITY_SD

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Variances of a card's mean over four competencies in squared points: of candidates,
# of a candidate with an interviewer (halo), of the rest.
CANDIDATE, HALO, REST = 0.324, 0.16, 0.077
INTERVIEWERS, TWO_RATERS = 36, 0.6


@dataclass(frozen=True)
class Panel:
    """One entry per card."""

    score: Floats
    candidate: Integers
    interviewer: Integers
    quarter: Integers

    @property
    def cell(self) -> Integers:
        """All cards are of one round."""
        return np.zeros_like(self.candidate)


def panel(
    rng: np.random.Generator,
    cards: Floats | float,
    *,
    quarters: int = 4,
    severity: Floats | None = None,
    drift: Floats | float = 0.0,
    two_raters: float = TWO_RATERS,
) -> Panel:
    """Return a company in which each interviewer fills `cards` cards a quarter.

    Two raters see a share of the candidates, one rater the others; who sees whom is
    drawn by workload. `severity` is taken off scores; `drift` is added to it a quarter.
    """
    load = np.broadcast_to(np.asarray(cards, float), (INTERVIEWERS,))
    size = round(float(load.sum()) / (1 + two_raters))
    n = size * quarters
    shares = load / load.sum()
    # Exponential races: the first and the second to arrive are a panel without repeats.
    first_two = np.argpartition(
        rng.exponential(size=(n, INTERVIEWERS)) / shares, 1, axis=1
    )[:, :2]
    pairs = np.where(rng.random((n, 1)) < 0.5, first_two, first_two[:, ::-1])
    kept = np.ones((n, 2), dtype=bool)
    kept[:, 1] = rng.random(n) < two_raters
    candidate, _ = np.nonzero(kept)
    interviewer, quarter = pairs[kept], candidate // size
    strict = rng.normal(0, SEVERITY_SD, INTERVIEWERS) if severity is None else severity
    moved = np.broadcast_to(drift, (INTERVIEWERS,))
    score = np.sqrt(CANDIDATE) * rng.normal(size=n)[candidate]
    score = score + np.sqrt(HALO + REST) * rng.normal(size=candidate.size)
    score -= strict[interviewer] + moved[interviewer] * quarter
    return Panel(score, candidate, interviewer, quarter)
