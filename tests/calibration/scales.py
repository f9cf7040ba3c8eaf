"""Populations of ratings on a five-point rubric, with the truth of what they imply."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

# A healthy rubric: mean and standard deviation of the latent score; one rating's
# reliability; severity of interviewers; correlation of competencies on a card.
MEAN, SD, RELIABILITY = 3.2, 0.95, 0.44
SEVERITY_SD = 0.20
CUTS = np.array([1.5, 2.5, 3.5, 4.5])
N_LEVELS = 5


def levels(score: Floats) -> NDArray[np.int64]:
    """Level from 0 of each latent score."""
    return np.clip(np.floor(score - 0.5), 0, N_LEVELS - 1).astype(np.int64)


def level_shares(mean: Floats | float, sd: float) -> Floats:
    """Share of each level, along a new last axis."""
    below = ndtr((CUTS - np.asarray(mean)[..., None]) / sd)
    edge = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([edge, below, edge + 1], axis=-1), axis=-1)


def pair_shares(
    reliability: float = RELIABILITY,
    sd: float = SD,
    *,
    shift: float = 0.0,
    mean: float = MEAN,
) -> Floats:
    """Joint shares of the levels two raters give; the second is stricter by `shift`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    weights = weights / weights.sum()
    true = mean + np.sqrt(reliability) * sd * nodes
    noise = np.sqrt(1 - reliability) * sd
    first, second = level_shares(true, noise), level_shares(true - shift, noise)
    return np.einsum("t,ti,tj->ij", weights, first, second)


def pair_correlation(reliability: float = RELIABILITY, sd: float = SD) -> float:
    """Correlation of the levels of two raters: the reliability of a rounded rating."""
    joint, at = pair_shares(reliability, sd), np.arange(N_LEVELS)
    mean = float(joint.sum(axis=1) @ at)
    covariance = float(at @ joint @ at) - mean**2
    return covariance / (float(joint.sum(axis=1) @ at**2) - mean**2)


def score_weights(scheme: str, n_levels: int = N_LEVELS) -> Floats:
    """Agreement of two levels under identity or quadratic weights."""
    gap = np.abs(np.subtract.outer(np.arange(n_levels), np.arange(n_levels)))
    if scheme == "identity":
        return (gap == 0).astype(float)
    return 1 - (gap / (n_levels - 1)) ** 2


def agreement_truths(joint: Floats, scheme: str) -> dict[str, float]:
    """Coefficients of a population of two raters' levels, as many as `joint` has."""
    k = len(joint)
    weight = score_weights(scheme, k)
    observed = float((weight * joint).sum())
    first, second = joint.sum(axis=1), joint.sum(axis=0)
    mean = (first + second) / 2
    chance = {
        "percent": 0.0,
        "gwet": weight.sum() / (k * (k - 1)) * float(mean @ (1 - mean)),
        "fleiss": float(mean @ weight @ mean),
        "alpha": float(mean @ weight @ mean),
        "brennan_prediger": weight.mean(),
        "cohen": float(first @ weight @ second),
    }
    return {name: (observed - by) / (1 - by) for name, by in chance.items()}


def alpha_truths(joint: Floats) -> dict[str, float]:
    """Krippendorff's alphas and plain agreement of a population of two raters."""
    mean, at = (joint.sum(axis=0) + joint.sum(axis=1)) / 2, np.arange(N_LEVELS)
    ranks = np.cumsum(mean) - mean / 2
    gap = np.abs(np.subtract.outer(at, at))

    def alpha(apart: Floats) -> float:
        return 1 - float((apart * joint).sum() / (mean @ apart @ mean))

    return {
        "alpha_nominal": alpha((gap > 0).astype(float)),
        "alpha_ordinal": alpha(np.subtract.outer(ranks, ranks) ** 2),
        "alpha_interval": alpha(gap.astype(float) ** 2),
        "exact": float(np.trace(joint)),
        "within_one": float(joint[gap <= 1].sum()),
        "mean_difference": float((gap * joint).sum()),
    }
