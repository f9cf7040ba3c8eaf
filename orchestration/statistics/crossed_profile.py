"""Confidence limits of functions of variances: profile likelihood and normal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit
from scipy.stats import chi2, norm

from orchestration.statistics.crossed_likelihood import (
    KNEE,
    LARGEST,
    Criterion,
    Likelihood,
    criterion_at,
    curvature_of,
    ratios_at,
    steep_inverse,
    value_at,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Limits = list[tuple[float, float]]

_RAYS = 48
# The residual variance is searched as the logarithm of its ratio to the estimate, from
# this place, so that all coordinates have the same bounds.
_MIDDLE = 10.0


@dataclass(frozen=True)
class Share:
    """Candidates' ratio over a weighted sum of all ratios and the residual's 1.

    Attributes
    ----------
    candidate : int
        Which of the ratios is the candidates'.
    weights : ndarray, shape (n_terms,)
        Of each ratio in the sum.
    residual : float
        Weight of the residual.
    """

    candidate: int
    weights: Floats
    residual: float

    @classmethod
    def of(cls, names: Sequence[str], weights: Mapping[str, float]) -> "Share":
        """Return the share with weights of the terms named and of "resid"."""
        return cls(
            names.index("candidate"),
            np.array([weights[name] for name in names]),
            weights["resid"],
        )

    def at(self, position: Floats) -> tuple[float, Floats]:
        """Return the share and its gradient in search coordinates."""
        ratios = ratios_at(position)
        total = float(self.weights @ ratios + self.residual)
        share = ratios[self.candidate] / total
        slope = -share * self.weights
        slope[self.candidate] += 1.0
        return float(share), slope / total * (ratios + KNEE)


@dataclass(frozen=True)
class Variance:
    """A term's variance over the residual's estimate, in coordinates of both.

    Attributes
    ----------
    term : int or None
        Which of the ratios; None for the residual's own variance.
    """

    term: int | None

    def at(self, position: Floats) -> tuple[float, Floats]:
        """Return log(1 + variance / `KNEE`) and its gradient."""
        scale, slope = float(np.exp(position[-1] - _MIDDLE)), np.zeros(position.size)
        size = scale
        if self.term is not None:
            ratio = float(ratios_at(position[self.term]))
            size = ratio * scale
            slope[self.term] = (ratio + KNEE) * scale
        slope[-1] = size
        return float(np.log1p(size / KNEE)), slope / (size + KNEE)


def whole_criterion(likelihood: Likelihood, var_resid: float) -> Criterion:
    """Return the criterion with the residual variance as its last coordinate.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    var_resid : float
        Its estimate, in the middle of the coordinate.

    Returns
    -------
    callable
        From coordinates of shape (n_terms + 1,) to criterion and gradient.
    """

    def criterion(position: Floats) -> tuple[float, Floats]:
        ratios = ratios_at(position[:-1])
        scale = var_resid * float(np.exp(position[-1] - _MIDDLE))
        value = value_at(likelihood, ratios, scale)
        free = likelihood.degrees
        last = free * (1 - value.var_resid / scale)
        return value.deviance, np.append(value.gradient * (ratios + KNEE), last)

    return criterion


def normal_limits(
    curvature: Floats, slope: Floats, at: Floats, shares: Sequence[Share], level: float
) -> Limits:
    """Return logit ± normal quantile × standard error; ratios at zero are held there.

    Where that is the candidates', the limit is where the criterion, as a parabola in
    that ratio, has risen by the squared quantile.

    Parameters
    ----------
    curvature : ndarray, shape (n_terms, n_terms)
        Second derivatives of the criterion in search coordinates.
    slope, at : ndarray, shape (n_terms,)
        Gradient of the criterion, and the estimate.
    shares : sequence of Share
        What to give limits of.
    level : float
        Confidence in (0, 1).

    Returns
    -------
    list of (float, float)
        Low and high of each share.
    """
    covariance, free = _covariance(curvature, at)
    quantile, found = float(norm.ppf((1 + level) / 2)), []
    for share in shares:
        value, change = share.at(at)
        if value <= 0:
            above = _risen(curvature, slope, at, share.candidate, quantile)
            found.append((0.0, share.at(above)[0]))
            continue
        change = change[free] / (value * (1 - value))
        half = quantile * np.sqrt(change @ covariance @ change)
        logit = np.log(value / (1 - value))
        found.append((float(expit(logit - half)), float(expit(logit + half))))
    return found


def standard_errors(curvature: Floats, at: Floats, shares: Sequence[Share]) -> Floats:
    """Return the standard error of each share by the delta method.

    Parameters
    ----------
    curvature, at, shares
        As in `normal_limits`; ratios at zero are held there.

    Returns
    -------
    ndarray, shape (n_shares,)
        NaN for a share of 0, whose error is not told by a slope.
    """
    covariance, free = _covariance(curvature, at)
    found = [share.at(at) for share in shares]
    slopes = np.array([slope[free] for _, slope in found])
    slopes = slopes.reshape(len(shares), free.size)
    error = np.sqrt(np.einsum("si,ij,sj->s", slopes, covariance, slopes))
    return np.where([value > 0 for value, _ in found], error, np.nan)


def profile_limits(
    likelihood: Likelihood, at: Floats, shares: Sequence[Share], level: float
) -> Limits:
    """Return the range of each share over what the likelihood does not reject.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    at : ndarray, shape (n_terms,)
        The estimate in search coordinates.
    shares, level
        As in `normal_limits`.

    Returns
    -------
    list of (float, float)
        Low and high of each share.
    """
    region = _Region(partial(criterion_at, likelihood), at, level)
    return [(region.extreme(share, -1), region.extreme(share, 1)) for share in shares]


def variance_limits(
    likelihood: Likelihood, at: Floats, level: float, *, profile: bool
) -> Limits:
    """Return limits of each term's variance, then of the residual's.

    Parameters
    ----------
    likelihood : Likelihood
        The sums.
    at : ndarray, shape (n_terms,)
        The estimate in search coordinates.
    level : float
        Confidence in (0, 1).
    profile : bool
        Whether by the profile likelihood; otherwise the logarithm of a variance is
        taken as normal, and the limit of one at zero as in `normal_limits`.

    Returns
    -------
    list of (float, float)
        Over the estimate of the residual variance.
    """
    best = value_at(likelihood, ratios_at(at)).var_resid
    criterion, centre = whole_criterion(likelihood, best), np.append(at, _MIDDLE)
    terms = [*(Variance(k) for k in range(at.size)), Variance(None)]
    if profile:
        region = _Region(criterion, centre, level)
        ends = [[region.extreme(term, sign) for sign in (-1, 1)] for term in terms]
    else:
        ends = _normal_ends(criterion, centre, terms, level)
    limits = np.maximum(KNEE * np.expm1(ends), 0.0)
    return [(float(low), float(high)) for low, high in limits]


def _normal_ends(
    criterion: Criterion, centre: Floats, terms: Sequence[Variance], level: float
) -> list[list[float]]:
    """Limits by the curvature, in the scale of `Variance.at`."""
    slope, curvature = criterion(centre)[1], curvature_of(criterion, centre)
    covariance, free = _covariance(curvature, centre)
    quantile, ends = float(norm.ppf((1 + level) / 2)), []
    for term in terms:
        value, change = term.at(centre)
        if value <= 0 and term.term is not None:
            above = _risen(curvature, slope, centre, term.term, quantile)
            ends.append([0.0, term.at(above)[0]])
            continue
        size = KNEE * np.expm1(value)
        change = change[free] * (size + KNEE) / size
        half = quantile * np.sqrt(change @ covariance @ change)
        around = size * np.exp([-half, half])
        ends.append(np.log1p(around / KNEE).tolist())
    return ends


def _covariance(curvature: Floats, at: Floats) -> tuple[Floats, Integers]:
    """Covariance of the coordinates that are not at zero, and which these are."""
    free = np.flatnonzero(at > 0)
    return 2 * steep_inverse(curvature[np.ix_(free, free)]), free


def _risen(
    curvature: Floats, slope: Floats, at: Floats, place: int, quantile: float
) -> Floats:
    """Where one coordinate at zero has raised the criterion by the squared quantile."""
    above, rise = at.copy(), max(float(slope[place]), 0.0)
    bend = max(float(curvature[place, place]), 1e-12)
    root = np.sqrt(rise**2 + 2 * bend * quantile**2)
    above[place] = min((root - rise) / bend, LARGEST)
    return above


class _Region:
    """Coordinates whose likelihood ratio against the estimate is not rejected."""

    def __init__(self, criterion: Criterion, at: Floats, level: float) -> None:
        self.criterion = criterion
        self.centre = at
        self.best = criterion(at)[0]
        self.allowed = float(chi2.ppf(level, 1))
        self.spread = steep_inverse(curvature_of(criterion, at))
        self.last: tuple[bytes, tuple[float, Floats]] = (b"", (0.0, at))

    def room(self, position: Floats) -> tuple[float, Floats]:
        """How much less the criterion is than allowed, and its gradient."""
        key = position.tobytes()
        if self.last[0] != key:
            deviance, slope = self.criterion(np.clip(position, 0, LARGEST))
            self.last = key, (self.best + self.allowed - deviance, -slope)
        return self.last[1]

    def _left(self, position: Floats) -> float:
        return self.room(position)[0]

    def _left_slope(self, position: Floats) -> Floats:
        return self.room(position)[1]

    def extreme(self, share: Share | Variance, sign: float) -> float:
        """The largest (sign 1) or smallest (−1) share inside."""
        estimate, slope = share.at(self.centre)
        towards = self.spread @ slope
        size = np.sqrt(2 * self.allowed / max(float(slope @ towards), 1e-12))
        step = np.clip(sign * size * towards, -2.0, 2.0)
        found = self._search(share, sign, np.clip(self.centre + step, 0, LARGEST))
        if found is None:
            start = self._farthest(share, sign)
            estimate = share.at(start)[0]
            found = self._search(share, sign, start)
        return estimate if found is None else sign * max(sign * found, sign * estimate)

    def _search(
        self, share: Share | Variance, sign: float, start: Floats
    ) -> float | None:
        """Extreme by sequential quadratic programming; None if it did not arrive."""

        def objective(position: Floats) -> tuple[float, Floats]:
            value, slope = share.at(position)
            return -sign * value, -sign * slope

        result = minimize(
            objective,
            start,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, LARGEST)] * start.size,
            constraints={
                "type": "ineq",
                "fun": self._left,
                "jac": self._left_slope,
            },
            options={"ftol": 1e-6, "maxiter": 50},
        )
        room = self.room(result.x)[0]
        if not result.success or room < -0.01 * self.allowed:
            return None
        return share.at(result.x)[0]

    def _farthest(self, share: Share | Variance, sign: float) -> Floats:
        """The best of the points where rays from the estimate leave the region."""
        rays = np.random.default_rng(0).normal(size=(_RAYS, self.centre.size))
        reached = [self.centre, *(self._exit(ray) for ray in rays)]
        return reached[int(np.argmax([sign * share.at(point)[0] for point in reached]))]

    def _exit(self, ray: Floats) -> Floats:
        """Where a ray from the estimate leaves the region, or ends at the bounds."""

        def point(length: float) -> Floats:
            return np.clip(self.centre + length * ray, 0, LARGEST)

        def left(length: float) -> float:
            return self.room(point(length))[0]

        end = 0.1
        while left(end) > 0 and end < 1e3:
            end *= 2
        return point(brentq(left, 0.0, end, xtol=1e-6) if left(end) < 0 else end)
