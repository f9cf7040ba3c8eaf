"""Interviewer drift: slopes adjusted for who was interviewed, charts, change points.

A slope is tested unshrunken against the drift all interviewers share, because everybody
becoming stricter is the rubric's or the market's doing; it is shown shrunken.
Candidates are random and integrated out in closed form, as in `severity`.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri, stdtr

from orchestration.statistics.positive_inverse import positive_inverse

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Sparse = sp.csr_array[np.float64, tuple[int, int]]

# The ratio of candidate to residual variance is searched as log(1 + ratio / _KNEE): so
# zero is an ordinary bound. At the largest ratio all cards of a candidate agree.
_KNEE, _STRIDE, _PASSES = 0.05, 1.5, 60
# What the slope lost over a step replaces the average information where they are alike:
# that closes seven eighths of the distance left, this more with every step.
_STRAIGHT = 0.2
# How far aside the likelihood is looked at for degrees of freedom.
_SIDE = 1e-3
_TOP = float(np.log1p(1e4 / _KNEE))
# The search ends this close to the maximum, in squared standard errors of the ratio:
# in panels of more columns, where a pass takes a second, at a thousandth of an error.
_CLOSE, _CLOSE_WIDE, _WIDE = 1e-14, 1e-6, 1_500
# A column of which less than this share of squares is its own depends on the others,
# and an effect changes with what they trade if it does so by more than this.
_NOTHING, _TRADED = 1e-9, 1e-6
# Squares of residuals below this share of the values' are rounding.
_EXACT = 1e-24
# Rows × draws × splits worked on at once: about 100 MB.
_CHUNK = 12_000_000


@dataclass(frozen=True)
class Slopes:
    """Change of each interviewer's scores per quarter, by interviewer.

    Positive slopes are rising scores for like candidates: an interviewer becoming more
    lenient. Everything is NaN where it is not estimable: a slope from one quarter, or
    one that the cells explain just as well.

    Attributes
    ----------
    n_cards, n_quarters, span : ndarray of int, shape (n_interviewers,)
        Cards with a score, different quarters among them, and quarters from the first
        to the last of these (0 within one quarter).
    intercept : ndarray, shape (n_interviewers,)
        Expected score of the average candidate at quarter 0, over the mix of cells.
    slope, se : ndarray, shape (n_interviewers,)
        Unshrunken slope (BLUE) in points per quarter, and its standard error.
    z, p : ndarray, shape (n_interviewers,)
        Slope less the common drift in standard errors of that difference, with their
        covariance; two-sided p by Student's t with `df`.
    df : ndarray, shape (n_interviewers,)
        Satterthwaite's degrees of freedom of that standard error; above 1,500 columns
        just cards less fixed effects, where t is normal anyway.
    z_plain : ndarray, shape (n_interviewers,)
        The same difference over the slope's own `se`, as often reported; too small by
        the slope's share in the common drift.
    shrunk, shrunk_sd : ndarray, shape (n_interviewers,)
        Empirical Bayes slope and its posterior standard deviation, which counts that
        `var_slope` is an estimate and is no larger than `se`. To be shown, never
        tested: shrinkage and wider posterior cost power twice.
    change, change_vs_common : ndarray, shape (n_interviewers,)
        Shrunken slope × span: change over the interviewer's window in points; and the
        part of it that is not shared, from `shrunk_common`.
    mdd : ndarray, shape (n_interviewers,)
        Smallest drift per quarter that the test would probably find.
    common, common_se : float
        Drift all share: mean slope weighted by 1 / se², and its standard error.
    shrunk_common : float
        Generalised least squares mean slope, to which the slopes are shrunk.
    var_slope, var_candidate, var_resid : float
        Variance of true slopes (Paule–Mandel), of candidates and of the rest (REML).
        `var_candidate` is NaN where no candidate has two cards that could tell it.
    n_tested : int
        Interviewers with a z.
    """

    n_cards: Integers
    n_quarters: Integers
    span: Integers
    intercept: Floats
    slope: Floats
    se: Floats
    z: Floats
    p: Floats
    df: Floats
    z_plain: Floats
    shrunk: Floats
    shrunk_sd: Floats
    change: Floats
    change_vs_common: Floats
    mdd: Floats
    common: float
    common_se: float
    shrunk_common: float
    var_slope: float
    var_candidate: float
    var_resid: float
    n_tested: int


@dataclass(frozen=True)
class Series:
    """Severity of each interviewer in each quarter.

    Attributes
    ----------
    n_cards : ndarray of int, shape (n_interviewers, n_quarters)
        Cards with a score.
    severity, se : ndarray, shape (n_interviewers, n_quarters)
        Unshrunken severity in points, positive = stricter than the peers of the
        quarter, and its standard error; NaN without cards or without peers.
    var_candidate, var_resid : float
        REML variances of candidates within a quarter and of the rest; the first is NaN
        where no candidate has two cards that could tell it.
    """

    n_cards: Integers
    severity: Floats
    se: Floats
    var_candidate: float
    var_resid: float


@dataclass(frozen=True)
class Ewma:
    """Exponentially weighted moving averages with their limits, shaped as the points.

    Attributes
    ----------
    average, low, high : ndarray
        Average after each point and its control limits; NaN where the point is.
    is_outside : ndarray of bool
        Whether the average lies beyond a limit.
    """

    average: Floats
    low: Floats
    high: Floats
    is_outside: Booleans


@dataclass(frozen=True)
class Cusum:
    """One-sided cumulative sums, shaped as the points.

    Attributes
    ----------
    high, low : ndarray
        Evidence for a rise and for a fall, in standard errors of a point; NaN where
        the point is.
    is_outside : ndarray of bool
        Whether one of them exceeds the decision interval.
    """

    high: Floats
    low: Floats
    is_outside: Booleans


@dataclass(frozen=True)
class ChangePoint:
    """Where each row's level changed once, if it did.

    Attributes
    ----------
    n_points : ndarray of int, shape (n_rows,)
        Points that are not missing.
    position : ndarray of int, shape (n_rows,)
        Column of the first point after the change; −1 where there are too few points
        or all are equal.
    before, after : ndarray, shape (n_rows,)
        Weighted means on the two sides.
    statistic : ndarray, shape (n_rows,)
        Largest F over all splits.
    p : ndarray, shape (n_rows,)
        Share of series without a change whose largest F is at least as large.
    """

    n_points: Integers
    position: Integers
    before: Floats
    after: Floats
    statistic: Floats
    p: Floats


@dataclass(frozen=True)
class Flags:
    """Which interviewers are shown and which are flagged.

    Attributes
    ----------
    is_shown, is_flagged : ndarray of bool, shape (n_interviewers,)
        Enough quarters to print; all conditions of a flag.
    direction : ndarray of int, shape (n_interviewers,)
        1 where flagged as more lenient, −1 as stricter, else 0.
    """

    is_shown: Booleans
    is_flagged: Booleans
    direction: Integers


@dataclass(frozen=True)
class _Cards:
    """Cards with a score, checked; cells coded without gaps, scores about `centre`."""

    score: Floats
    centre: float
    quarter: Integers
    interviewer: Integers
    candidate: Integers
    cell: Integers
    n_interviewers: int
    n_quarters: int
    n_cells: int


@dataclass(frozen=True)
class _Lines:
    """Columns of a level for `people` and a slope for `sloped`, about `middle`."""

    columns: Sparse
    people: Integers
    sloped: Integers
    middle: Floats
    widths: Integers


@dataclass(frozen=True)
class _Slopes:
    """Slopes by interviewer; `rows` are those estimable, with their covariance."""

    intercept: Floats
    slope: Floats
    rows: Integers
    covariance: Floats
    df: Floats
    var_candidate: float
    var_resid: float


@dataclass(frozen=True)
class _Sums:
    """Entries of a symmetric matrix in the store: place, value, value in a trace."""

    at: Integers
    values: Floats
    traced: Floats


@dataclass(frozen=True)
class _Layout:
    """Where blocks of columns, their borders and the corner lie in a flat store.

    No unit meets two blocks; `border` further columns (cells) meet all of them. Blocks
    are good in their lower half only.
    """

    starts: Integers
    widths: Integers
    border: int
    offsets: Integers

    @property
    def width(self) -> int:
        """Number of columns in blocks."""
        return int(self.widths.sum())

    def part(self, block: int) -> slice:
        """Return a block's columns."""
        start = int(self.starts[block])
        return slice(start, start + int(self.widths[block]))

    def square(self, store: Floats, block: int) -> Floats:
        """Return a block's view of the store."""
        first, w = int(self.offsets[block]), int(self.widths[block])
        return store[first : first + w * w].reshape(w, w)

    def cross(self, store: Floats, block: int) -> Floats:
        """Return the view of a block against the border."""
        w = int(self.widths[block])
        first = int(self.offsets[block]) + w * w
        return store[first : first + w * self.border].reshape(w, self.border)

    def corner(self, store: Floats) -> Floats:
        """Return the border's view."""
        return store[int(self.offsets[-1]) :].reshape(self.border, self.border)


@dataclass(frozen=True)
class _Cells:
    """Cells whose columns are kept, and what all cells could trade with the blocks.

    Adding a column of `null` to the effects of all cells and taking that of `traded`
    from the blocks' changes no expected score.
    """

    kept: Integers
    null: Floats
    traded: Floats


@dataclass(frozen=True)
class _Model:
    """Fixed effects and random units (candidates), ready for any variance ratio.

    `ordinary` are the cross-products of all columns, `shared[j]` those of their sums by
    unit over the units with `sizes[j]` cards, of which there are `counts[j]`.
    """

    score: Floats
    rounding: float
    columns: Sparse
    unit: Integers
    unit_size: Floats
    layout: _Layout
    ordinary: _Sums
    sizes: Floats
    counts: Floats
    shared: tuple[_Sums, ...]

    def whitened(self, values: Floats, ratio: float) -> Floats:
        """Return the inverse covariance over the residual variance times values."""
        share = ratio / (1 + self.unit_size * ratio)
        taken = share * np.bincount(self.unit, values)
        return np.asarray(values - taken[self.unit])

    def gathered(self, values: Floats, ratio: float) -> Floats:
        """Return the columns' products with whitened values."""
        return np.asarray(self.columns.T @ self.whitened(values, ratio))


@dataclass(frozen=True)
class _Solver:
    """Normal equations: inverses of blocks, their leaning on the border, its inverse.

    The store holds the inverses in place of the blocks.
    """

    layout: _Layout
    store: Floats
    leans: list[Floats]
    corner: Floats

    def solve(self, right: Floats) -> Floats:
        """Return the solution for one right-hand side."""
        width, found = self.layout.width, np.empty_like(right)
        rest = right[width:].copy()
        for block, lean in enumerate(self.leans):
            part = self.layout.part(block)
            found[part] = self.layout.square(self.store, block) @ right[part]
            rest -= lean.T @ right[part]
        found[width:] = self.corner @ rest
        for block, lean in enumerate(self.leans):
            found[self.layout.part(block)] -= lean @ found[width:]
        return found

    def inverted(self) -> Floats:
        """Return the store with the inverse of the whole, once and last."""
        for block, lean in enumerate(self.leans):
            leaning = lean @ self.corner
            square = self.layout.square(self.store, block)
            square += leaning @ lean.T
            self.layout.cross(self.store, block)[...] = -leaning
        self.layout.corner(self.store)[...] = self.corner
        return self.store


@dataclass(frozen=True)
class _Step:
    """Generalised least squares at one variance ratio.

    `store` holds the inverse of the normal equations; `slope` and `bend` are slope and
    average information of −2 log restricted likelihood in the search coordinate.
    """

    ratio: float
    effects: Floats
    store: Floats
    squares: float
    df: int
    slope: float
    bend: float

    @property
    def var_resid(self) -> float:
        """Residual variance: 0 where the effects explain every score."""
        return self.squares / self.df if self.df > 0 else float("nan")

    def covariance(self, layout: _Layout, block: int, first: int = 0) -> Floats:
        """Return that of a block's effects from `first` on; NaN without residuals."""
        inverse = layout.square(self.store, block)[first:, first:]
        scale = self.var_resid if self.squares > 0 else float("nan")
        return np.asarray(scale * (np.tril(inverse) + np.tril(inverse, -1).T))


@dataclass(frozen=True)
class _Fit:
    """The step of largest likelihood, its search coordinate and the units' variance."""

    step: _Step
    at: float
    var_unit: float


# --- slopes ----------------------------------------------------------------------


def drift_slopes(
    score: ArrayLike,
    quarter: ArrayLike,
    *,
    interviewer: ArrayLike,
    candidate: ArrayLike,
    cell: ArrayLike | None = None,
    n_interviewers: int | None = None,
    level: float = 0.05,
    power: float = 0.8,
) -> Slopes:
    """Return each interviewer's change per quarter, adjusted for who was interviewed.

    Scores are modelled as cell + interviewer + interviewer × quarter + candidate +
    error, candidates and error random: an interviewer is compared through the
    candidates' other cards. Slopes are generalised least squares with variances by
    restricted maximum likelihood, exactly as lme4's
    `score ~ 0 + interviewer + interviewer:quarter + (1 | candidate)`, which dense
    mixed models of statsmodels could not fit at this size.

    `z` divides slope − common by the root of the variance of that difference, with the
    slopes' whole covariance; `z_plain` divides by the slope's own `se` and so ignores
    that the slope is part of the mean it is held against. The test by `z` is the same
    as one against the weighted mean of all others.

    Parameters
    ----------
    score : array_like of float, shape (n_cards,)
        One score per card; NaN is left out.
    quarter : array_like of int, shape (n_cards,)
        Running number of the quarter, from 0.
    interviewer, candidate : array_like of int, shape (n_cards,)
        Codes from 0.
    cell : array_like of int, shape (n_cards,), optional
        Code from 0 of what is compared with itself only, such as a round under one
        rubric; a fixed effect.
    n_interviewers : int, optional
        Rows of the answer; one more than the largest code when left out.
    level, power : float
        For `mdd`, see `minimum_detectable_drift`.

    Returns
    -------
    Slopes
        By interviewer code.

    Raises
    ------
    ValueError
        If the arrays differ in length, a code is negative or a score is infinite.

    References
    ----------
    Patterson & Thompson (1971), Biometrika 58, 545-554; Gilmour, Thompson & Cullis
    (1995), Biometrics 51, 1440-1450, for the search; Paule & Mandel (1982), J. Res.
    NBS 87, 377-385, here with the slopes' covariance; Robinson (1991), Statist. Sci.
    6, 15-32, for the shrunken slopes; Prasad & Rao (1990), JASA 85, 163-171, and Datta,
    Rao & Smith (2005), Biometrika 92, 183-196, for their posterior deviations.
    """
    cards = _cards(score, quarter, interviewer, candidate, cell, n_interviewers)
    n = cards.n_interviewers
    n_quarters, span = _presence(cards)
    found = _slopes(cards, n_quarters) if cards.score.size else _no_slopes(n)
    rows, slope = found.rows, found.slope[found.rows]
    weight, common_variance, apart = _common(found.covariance)
    common = float(weight @ slope) if rows.size else float("nan")
    se, z = np.sqrt(np.diagonal(found.covariance)), (slope - common) / np.sqrt(apart)
    shrunk_common, var_slope, shrunk, shrunk_sd = _shrunk(slope, found.covariance)
    n_tested = int(np.isfinite(z).sum())
    by_row = {
        "se": se,
        "z": z,
        "df": np.where(np.isfinite(z), found.df, np.nan),
        "p": 2 * stdtr(np.maximum(found.df, 1), -np.abs(z)),
        "z_plain": np.where(np.isfinite(z), (slope - common) / se, np.nan),
        "shrunk": shrunk,
        "shrunk_sd": shrunk_sd,
        "change": shrunk * span[rows],
        "change_vs_common": (shrunk - shrunk_common) * span[rows],
        "mdd": minimum_detectable_drift(se, n_tested, level=level, power=power),
    }
    return Slopes(
        n_cards=np.bincount(cards.interviewer, minlength=n),
        n_quarters=n_quarters,
        span=span,
        intercept=found.intercept,
        slope=found.slope,
        common=common,
        common_se=float(np.sqrt(common_variance)),
        shrunk_common=shrunk_common,
        var_slope=var_slope,
        var_candidate=found.var_candidate,
        var_resid=found.var_resid,
        n_tested=n_tested,
        **{name: _by_row(values, rows, n) for name, values in by_row.items()},
    )


def minimum_detectable_drift(
    se: ArrayLike, n_tested: int, *, level: float = 0.05, power: float = 0.8
) -> Floats:
    """Return the drift that is found with the given power among the tested.

    It is (z₁₋ₗ + z_power) × se with l = level / (2 × n_tested). The level is shared out
    evenly: where several drift at once, Benjamini–Hochberg finds smaller drifts too.
    The error of the common drift is left out.

    Parameters
    ----------
    se : array_like, any shape
        Standard errors of slopes; NaN gives NaN.
    n_tested : int
        Interviewers tested together; 0 gives NaN.
    level, power : float
        Level of the two-sided tests together, and the wanted power.

    Returns
    -------
    ndarray
        In the unit of `se`, shaped alike.

    Raises
    ------
    ValueError
        If level or power does not lie in (0, 1).
    """
    for name, share in (("level", level), ("power", power)):
        if not 0 < share < 1:
            raise ValueError(f"{name} must lie in (0, 1), got {share}")
    errors = np.asarray(se, dtype=np.float64)
    if n_tested < 1:
        return np.full(errors.shape, np.nan)
    found: Floats = (ndtri(power) - ndtri(level / (2 * n_tested))) * errors
    return found


def quarter_severities(
    score: ArrayLike,
    quarter: ArrayLike,
    *,
    interviewer: ArrayLike,
    candidate: ArrayLike,
    cell: ArrayLike | None = None,
    n_interviewers: int | None = None,
    n_quarters: int | None = None,
) -> Series:
    """Return how strict each interviewer was in each quarter, against the peers of it.

    Scores are modelled as cell + interviewer × quarter + candidate × quarter + error,
    the last two random, by generalised least squares and restricted maximum
    likelihood. A candidate with cards in two quarters counts as two, so each quarter
    is judged from its own cards and, cells apart, the points of a series are
    independent, as control charts presume. Where nobody straddles quarters this is
    lme4's `score ~ 0 + interviewer:factor(quarter) + (1 | candidate)`.

    Points are centred on the card-weighted mean of the quarter, within sets of
    interviewers that cells connect. What all share is thereby lost: see
    `Slopes.common`.

    Parameters
    ----------
    score, quarter, interviewer, candidate, cell, n_interviewers
        As for `drift_slopes`.
    n_quarters : int, optional
        Columns of the answer; one more than the largest quarter when left out.

    Returns
    -------
    Series
        By interviewer code and quarter.

    Raises
    ------
    ValueError
        If the arrays differ in length, a code is negative or a score is infinite.
    """
    cards = _cards(
        score, quarter, interviewer, candidate, cell, n_interviewers, n_quarters
    )
    shape = cards.n_interviewers, cards.n_quarters
    place = cards.interviewer * shape[1] + cards.quarter
    n_cards = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    severity, se = np.full(shape, np.nan), np.full(shape, np.nan)
    if not cards.score.size:
        return Series(n_cards, severity, se, float("nan"), float("nan"))
    # Columns are the points in order of their quarter.
    quarters, people = np.nonzero(n_cards.T)
    column = np.full(shape[::-1], -1)
    column[quarters, people] = np.arange(people.size)
    one_per_point = _indicator(column[cards.quarter, cards.interviewer], people.size)
    _, widths = np.unique(quarters, return_counts=True)
    model, _ = _model(
        cards, one_per_point, cards.candidate * shape[1] + cards.quarter, widths
    )
    fit = _fit(model)
    sets = _sets(one_per_point, cards.cell)
    for block in range(widths.size):
        part = model.layout.part(block)
        who, when = people[part], quarters[part]
        severity[who, when], se[who, when] = _centred(
            fit.step.effects[part],
            fit.step.covariance(model.layout, block),
            n_cards[who, when],
            sets[part],
        )
    return Series(n_cards, severity, se, fit.var_unit, fit.step.var_resid)


# --- charts ----------------------------------------------------------------------


def ewma(
    value: ArrayLike,
    se: ArrayLike,
    *,
    centre: ArrayLike | None = 0.0,
    weight: float = 0.2,
    width: float = 3.0,
) -> Ewma:
    """Return exponentially weighted moving averages with time-varying limits.

    With equal standard errors σ the limits after t points are centre ± width ×
    σ √(λ / (2 − λ) × (1 − (1 − λ)^2t)); with unequal ones the variance follows the
    same recursion as the average. Points must be independent: autocorrelation brings
    false alarms.

    Parameters
    ----------
    value : array_like, shape (..., n_points)
        Rows of points in order of time. NaN is a missing point: average and limits are
        carried over it.
    se : array_like, shape that broadcasts to that of `value`
        Standard errors of the points.
    centre : array_like, scalar or shape (...,), optional
        Target of each row. None takes the row's own mean, weighted by 1 / se², and
        narrows the limits by what that follows the points.
    weight, width : float
        λ in (0, 1], weight of the newest point, and half-width of the limits in
        standard errors.

    Returns
    -------
    Ewma
        Of the shape of `value`.

    Raises
    ------
    ValueError
        If a standard error is not positive or the weight not in (0, 1].

    References
    ----------
    Roberts (1959), Technometrics 1, 239-250; Lucas & Saccucci (1990), Technometrics
    32, 1-12; NIST/SEMATECH e-Handbook 6.3.2.4.
    """
    if not 0 < weight <= 1:
        raise ValueError(f"weight must lie in (0, 1], got {weight}")
    points, errors = _points(value, se)
    target, precision = _target(points, errors, centre)
    average, variance, share = (np.zeros_like(target) for _ in range(3))
    averages, spreads = np.full((2, *points.shape), np.nan)
    for t in range(points.shape[-1]):
        here = ~np.isnan(points[..., t])
        step = np.where(here, weight, 0.0)
        deviation = np.where(here, points[..., t] - target, 0.0)
        average = (1 - step) * average + step * deviation
        variance = (1 - step) ** 2 * variance + step**2 * np.where(
            here, errors[..., t] ** 2, 0.0
        )
        share = (1 - step) * share + step
        averages[..., t] = np.where(here, target + average, np.nan)
        # Covariance with a mean of the same points, weighted by their precision.
        left = np.maximum(variance - share**2 / precision, 0.0)
        spreads[..., t] = np.where(here, np.sqrt(left), np.nan)
    low = target[..., None] - width * spreads
    high = target[..., None] + width * spreads
    return Ewma(averages, low, high, (averages < low) | (averages > high))


def cusum(
    value: ArrayLike,
    se: ArrayLike,
    *,
    centre: ArrayLike | None = 0.0,
    allowance: float = 0.5,
    decision: float = 5.0,
) -> Cusum:
    """Return tabular cumulative sums of what exceeds an allowance on either side.

    Parameters
    ----------
    value, se
        As for `ewma`; at a missing point the sums wait.
    centre : array_like, scalar or shape (...,), optional
        Target of each row. None takes the row's own mean, weighted by 1 / se²; the
        sums then come out somewhat small, as that mean follows the points.
    allowance, decision : float
        k and h in standard errors of a point: half the shift to be found, and the sum
        beyond which a row is out of control (4 to 5).

    Returns
    -------
    Cusum
        Of the shape of `value`; sums are not reset after an alarm.

    Raises
    ------
    ValueError
        If a standard error is not positive.

    References
    ----------
    Page (1954), Biometrika 41, 100-115; Montgomery (2013), Introduction to Statistical
    Quality Control, 9.1.2; NIST/SEMATECH e-Handbook 6.3.2.3.
    """
    points, errors = _points(value, se)
    target, _ = _target(points, errors, centre)
    deviations = (points - target[..., None]) / errors
    highs, lows = np.full((2, *points.shape), np.nan)
    high, low = np.zeros_like(target), np.zeros_like(target)
    for t in range(points.shape[-1]):
        deviation = deviations[..., t]
        here = ~np.isnan(deviation)
        high = np.where(here, np.maximum(high + deviation - allowance, 0), high)
        low = np.where(here, np.maximum(low - deviation - allowance, 0), low)
        highs[..., t] = np.where(here, high, np.nan)
        lows[..., t] = np.where(here, low, np.nan)
    return Cusum(highs, lows, (highs > decision) | (lows > decision))


def change_point(
    value: ArrayLike,
    se: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
    n_draws: int = 1_999,
    min_points: int = 2,
) -> ChangePoint:
    """Return the split of each row that two levels fit best, and its p-value.

    The statistic is the largest F = (fall in the weighted sum of squares) ÷ (remaining
    sum of squares / (n − 2)) over the splits. Its asymptotic distribution (Andrews
    1993) is far off for a dozen quarters; under normal errors with the given relative
    variances it is free of unknowns, so p is a Monte Carlo test with the row's own
    weights and gaps, exact at any length. All rows share the draws: a row's p does not
    depend on the other rows.

    Parameters
    ----------
    value : array_like, shape (n_rows, n_points)
        Points in order of time; NaN is missing.
    se : array_like, shape that broadcasts to that of `value`, optional
        Standard errors up to a factor: the scale is estimated from the row. Equal when
        left out.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int
        Series simulated without a change; p is at least 1 / (n_draws + 1).
    min_points : int
        Fewest points on each side of a split: with one, any odd quarter would do.

    Returns
    -------
    ChangePoint
        By row. NaN with fewer than 3 points or 2 × `min_points`, or all equal.

    Raises
    ------
    ValueError
        If `value` is not two-dimensional, a standard error is not positive or
        `min_points` is below 1.

    References
    ----------
    Hawkins (1977), JASA 72, 180-186; Andrews (1993), Econometrica 61, 821-856;
    Dufour (2006), J. Econometrics 133, 443-477, for the exactness of the test.
    """
    points, errors = _points(value, 1.0 if se is None else se)
    if points.ndim != 2:
        raise ValueError(f"value must have rows and points, got shape {points.shape}")
    if min_points < 1:
        raise ValueError(f"min_points must be at least 1, got {min_points}")
    # One column at most has no split: missing ones beside it are the same series.
    beside = ((0, 0), (0, max(2 - points.shape[1], 0)))
    points, errors = (
        np.pad(x, beside, constant_values=np.nan) for x in (points, errors)
    )
    root = np.where(np.isnan(points), 0.0, 1 / errors)
    n_points = np.count_nonzero(root, axis=1)
    contrasts, is_split = _contrasts(root, min_points)
    scaled = np.where(np.isnan(points), 0.0, points - _mean(points, root)[:, None])
    scaled = scaled * root
    total = np.sum(scaled**2, axis=1)
    gains = np.einsum("rst,rt->rs", contrasts, scaled) ** 2
    gains = np.where(is_split, gains, -1.0)
    # Deviations of equal points are rounding errors of their mean.
    size = np.sum((np.nan_to_num(points) * root) ** 2, axis=1)
    known = is_split.any(axis=1) & (n_points > 2) & (total > _EXACT * size)
    position = np.where(known, np.argmax(gains, axis=1) + 1, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(known, np.minimum(gains.max(axis=1) / total, 1.0), np.nan)
        statistic = (n_points - 2) * explained / (1 - explained)
    is_after = np.arange(points.shape[1]) >= position[:, None]
    return ChangePoint(
        n_points=n_points,
        position=position,
        before=np.where(known, _mean(points, np.where(is_after, 0, root)), np.nan),
        after=np.where(known, _mean(points, np.where(is_after, root, 0)), np.nan),
        statistic=statistic,
        p=_simulated_p(explained, root, contrasts, is_split, rng, n_draws),
    )


def drift_flags(
    q: ArrayLike,
    change: ArrayLike,
    n_quarters: ArrayLike,
    *,
    level: float = 0.05,
    min_change: float = 0.25,
    flag_quarters: int = 6,
    show_quarters: int = 4,
) -> Flags:
    """Return who is shown and who is flagged as drifting.

    A flag says that an interviewer moves away from the peers: not that either is right.

    Parameters
    ----------
    q : array_like, shape (n_interviewers,)
        Benjamini–Hochberg q-values of `Slopes.p` (see `multiplicity`); NaN never flags.
    change : array_like, shape (n_interviewers,)
        Shrunken change over the window in points: `Slopes.change_vs_common`, or
        `Slopes.change` to count the drift all share.
    n_quarters : array_like of int, shape (n_interviewers,)
        Quarters with cards.
    level, min_change : float
        A flag needs q below the level and a change at least this large.
    flag_quarters, show_quarters : int
        Fewest quarters for a flag, and for a row to be printed.

    Returns
    -------
    Flags
        By interviewer.

    Raises
    ------
    ValueError
        If the arrays differ in length or a q lies outside [0, 1].
    """
    q_values, moved = (np.asarray(x, dtype=np.float64) for x in (q, change))
    quarters = np.asarray(n_quarters, dtype=np.int64)
    if not q_values.shape == moved.shape == quarters.shape:
        raise ValueError(
            "q, change and n_quarters must have one entry per interviewer, got shapes "
            f"{q_values.shape}, {moved.shape} and {quarters.shape}"
        )
    outside = q_values[(q_values < 0) | (q_values > 1)]
    if outside.size:
        raise ValueError(f"q must lie in [0, 1], got {outside[0]}")
    flagged = (q_values < level) & (np.abs(moved) >= min_change)
    flagged &= quarters >= flag_quarters
    direction = np.where(flagged, np.sign(np.nan_to_num(moved)), 0).astype(np.int64)
    return Flags(quarters >= show_quarters, flagged, direction)


def _points(value: ArrayLike, se: ArrayLike) -> tuple[Floats, Floats]:
    """Points and their standard errors; both NaN where either is."""
    points = np.asarray(value, dtype=np.float64)
    given = np.asarray(se, dtype=np.float64)
    if (given <= 0).any():
        raise ValueError(f"se must be positive, got {given[given <= 0][0]:g}")
    errors = np.broadcast_to(given, points.shape)
    missing = np.isnan(points) | np.isnan(errors)
    return np.where(missing, np.nan, points), np.where(missing, np.nan, errors)


def _target(
    points: Floats, errors: Floats, centre: ArrayLike | None
) -> tuple[Floats, Floats]:
    """Centre of each row and its precision: infinite where it has no error."""
    shape = points.shape[:-1]
    if centre is not None:
        given = np.broadcast_to(np.asarray(centre, dtype=np.float64), shape)
        return given.copy(), np.full(shape, np.inf)
    root = np.where(np.isnan(points), 0.0, 1 / errors)
    precision = np.sum(root**2, axis=-1)
    return _mean(points, root), np.where(precision > 0, precision, np.inf)


def _mean(points: Floats, root: Floats) -> Floats:
    """Mean of each row weighted by the squares of `root`."""
    weight = root**2
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Floats = np.sum(
            weight * np.where(weight > 0, points, 0.0), axis=-1
        ) / np.sum(weight, axis=-1)
    return mean


def _contrasts(root: Floats, min_points: int) -> tuple[Floats, Booleans]:
    """Unit vectors that take the shift at each split from scaled points.

    Split s is between columns s and s + 1; it counts where the later one has a point
    and both sides have enough.
    """
    weight = root**2
    total = weight.sum(axis=1, keepdims=True)
    before = np.cumsum(weight, axis=1)[:, :-1]
    counts = np.cumsum((root > 0).astype(np.int64), axis=1)
    is_split = counts[:, :-1] >= min_points
    is_split &= counts[:, -1:] - counts[:, :-1] >= min_points
    is_split &= root[:, 1:] > 0
    is_late = np.arange(root.shape[1])[None, :] > np.arange(root.shape[1] - 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.sqrt(before * (total - before) / total)
        late, early = length / (total - before), -length / before
    side = np.where(is_late, late[:, :, None], early[:, :, None])
    return np.where(is_split[:, :, None], side * root[:, None, :], 0.0), is_split


def _simulated_p(
    explained: Floats,
    root: Floats,
    contrasts: Floats,
    is_split: Booleans,
    rng: np.random.Generator,
    n_draws: int,
) -> Floats:
    """Share of unchanged series whose best split explains as much; with the row."""
    draws = rng.standard_normal((n_draws, root.shape[1]))
    squares = draws**2
    p = np.full(explained.shape, np.nan)
    known = np.flatnonzero(~np.isnan(explained))
    step = max(1, _CHUNK // max(1, n_draws * is_split.shape[1]))
    for start in range(0, known.size, step):
        rows = known[start : start + step]
        own, present = root[rows], root[rows] > 0
        unit = own / np.sqrt(np.sum(own**2, axis=1, keepdims=True))
        total = present @ squares.T - (unit @ draws.T) ** 2
        gains = np.max((contrasts[rows] @ draws.T) ** 2, axis=1)
        # The same share of the squares up to rounding counts as reached.
        reached = gains >= explained[rows, None] * total * (1 - 1e-12)
        p[rows] = (1 + np.count_nonzero(reached, axis=1)) / (n_draws + 1)
    return p


# --- from cards to slopes --------------------------------------------------------


def _cards(
    score: ArrayLike,
    quarter: ArrayLike,
    interviewer: ArrayLike,
    candidate: ArrayLike,
    cell: ArrayLike | None,
    n_interviewers: int | None,
    n_quarters: int | None = None,
) -> _Cards:
    """Cards with a score, checked."""
    scores = np.asarray(score, dtype=np.float64)
    if np.isinf(scores).any():
        raise ValueError("score must be finite or NaN, got infinity")
    codes = {
        "quarter": np.asarray(quarter, dtype=np.int64),
        "interviewer": np.asarray(interviewer, dtype=np.int64),
        "candidate": np.asarray(candidate, dtype=np.int64),
        "cell": np.zeros(scores.shape, dtype=np.int64)
        if cell is None
        else np.asarray(cell, dtype=np.int64),
    }
    for name, code in codes.items():
        if code.shape != scores.shape or scores.ndim != 1:
            raise ValueError(f"{name} must have shape {scores.shape}, got {code.shape}")
        if (code < 0).any():
            raise ValueError(f"{name} must not be negative, got {code.min()}")
    limits = {"interviewer": n_interviewers, "quarter": n_quarters}
    sizes = {}
    for name, size in limits.items():
        sizes[name] = int(codes[name].max(initial=-1)) + 1 if size is None else size
        if (codes[name] >= sizes[name]).any():
            raise ValueError(f"{name} must be below {size}, got {codes[name].max()}")
    kept = ~np.isnan(scores)
    centre = float(scores[kept].mean()) if kept.any() else float("nan")
    _, cells = np.unique(codes["cell"][kept], return_inverse=True)
    return _Cards(
        score=scores[kept] - centre,
        centre=centre,
        quarter=codes["quarter"][kept],
        interviewer=codes["interviewer"][kept],
        candidate=codes["candidate"][kept],
        cell=cells,
        n_interviewers=sizes["interviewer"],
        n_quarters=sizes["quarter"],
        n_cells=int(cells.max(initial=-1)) + 1,
    )


def _presence(cards: _Cards) -> tuple[Integers, Integers]:
    """Different quarters of each interviewer, and from the first to the last."""
    n, width = cards.n_interviewers, cards.n_quarters
    seen = np.unique(cards.interviewer * width + cards.quarter)
    who, when = seen // max(width, 1), seen % max(width, 1)
    first, last = np.full(n, width), np.zeros(n, dtype=np.int64)
    np.minimum.at(first, who, when)
    np.maximum.at(last, who, when)
    return np.bincount(who, minlength=n), np.maximum(last - first, 0)


def _no_slopes(n: int) -> _Slopes:
    """Nothing estimable for any interviewer."""
    return _Slopes(
        intercept=np.full(n, np.nan),
        slope=np.full(n, np.nan),
        rows=np.zeros(0, dtype=np.int64),
        covariance=np.zeros((0, 0)),
        df=np.zeros(0),
        var_candidate=float("nan"),
        var_resid=float("nan"),
    )


def _slopes(cards: _Cards, n_quarters: Integers) -> _Slopes:
    """Fit a line to each interviewer; degrees of freedom are Satterthwaite's."""
    found = _no_slopes(cards.n_interviewers)
    lines = _lines(cards, n_quarters)
    model, cells = _model(cards, lines.columns, cards.candidate, lines.widths)
    fit = _fit(model)
    # A slope that cells could take over without a change of any expected score.
    n_people = lines.people.size
    fixed = np.abs(cells.traded[n_people:]).max(axis=1, initial=0) < _TRADED
    rows = lines.sloped[fixed]
    found.slope[rows] = fit.step.effects[n_people : lines.columns.shape[1]][fixed]
    found.intercept[rows] = _intercepts(cards, lines, cells, fit.step.effects)[rows]

    def covariance(step: _Step) -> Floats:
        return step.covariance(model.layout, 0, n_people)[np.ix_(fixed, fixed)]

    df = np.full(rows.size, float(fit.step.df))
    if rows.size and np.isfinite(fit.var_unit) and lines.columns.shape[1] <= _WIDE:
        # Relative errors of a variance are those of the residual's, and its slope in
        # the search coordinate times the error of that.
        ends = max(fit.at - _SIDE, 0.0), fit.at + _SIDE
        below, above = (_common(covariance(_step(model, end)))[2] for end in ends)
        slope = np.log(above / below) / (ends[1] - ends[0])
        df = 1 / (1 / df + slope**2 / max(fit.step.bend, 1e-12))
    return replace(
        found,
        rows=rows,
        covariance=covariance(fit.step),
        df=df,
        var_candidate=fit.var_unit,
        var_resid=fit.step.var_resid,
    )


def _lines(cards: _Cards, n_quarters: Integers) -> _Lines:
    """Columns of levels, then of slopes about each interviewer's mean quarter."""
    n = cards.n_interviewers
    people, sloped = np.flatnonzero(n_quarters), np.flatnonzero(n_quarters > 1)
    n_cards = np.bincount(cards.interviewer, minlength=n)
    middle = np.bincount(cards.interviewer, cards.quarter, n) / np.maximum(n_cards, 1)
    width, column = people.size + sloped.size, np.full((2, n), -1)
    column[0, people] = np.arange(people.size)
    column[1, sloped] = np.arange(people.size, width)
    steps = cards.quarter - middle[cards.interviewer]
    columns = _indicator(column[0, cards.interviewer], width) + _indicator(
        column[1, cards.interviewer], width, steps
    )
    return _Lines(columns, people, sloped, middle, np.array([width]))


def _intercepts(cards: _Cards, lines: _Lines, cells: _Cells, effects: Floats) -> Floats:
    """Expected score at quarter 0 over the cells of each interviewer's set.

    Sets are those that cells connect; NaN where cells and lines could trade it.
    """
    n, n_people, width = cards.n_interviewers, lines.people.size, lines.columns.shape[1]
    of_cells = np.zeros(cards.n_cells)
    of_cells[cells.kept] = effects[width:]
    sets = _sets(lines.columns[:, :n_people], cards.cell)
    mixed = _set_means(
        np.column_stack([of_cells, cells.null]), cards.cell, sets[n_people:]
    )[sets[:n_people]]
    level, slope = np.full((2, n, mixed.shape[1]), np.nan)
    own = np.column_stack([effects[:width], -cells.traded])
    level[lines.people] = own[:n_people] + mixed
    slope[lines.sloped] = own[n_people:]
    at_zero = level - lines.middle[:, None] * slope
    is_told = np.abs(at_zero[:, 1:]).max(axis=1, initial=0) < _TRADED
    return np.where(is_told, at_zero[:, 0] + cards.centre, np.nan)


def _set_means(values: Floats, cell: Integers, cell_set: Integers) -> Floats:
    """Mean over the cards of each set of values that belong to cells."""
    n_cards = np.bincount(cell)
    member = np.equal.outer(np.arange(cell_set.max() + 1), cell_set) * n_cards
    mean: Floats = member @ values / np.maximum(member.sum(axis=1, keepdims=True), 1)
    return mean


def _common(covariance: Floats) -> tuple[Floats, float, Floats]:
    """Weights of the common drift, its variance, and that of each slope less it."""
    precision = 1 / np.diagonal(covariance)
    weight = precision / precision.sum()
    shared = covariance @ weight
    variance = float(weight @ shared) if weight.size else float("nan")
    apart = np.diagonal(covariance) - 2 * shared + variance
    # A slope that alone makes the mean does not differ from it.
    return weight, variance, np.where(weight < 1 - 1e-9, apart, np.nan)


def _shrunk(slope: Floats, covariance: Floats) -> tuple[float, float, Floats, Floats]:
    """Mean and variance of true slopes, their predictions and posterior deviations.

    The posterior deviation counts the error of the mean, as the prediction error of a
    restricted maximum likelihood fit does, and of the variance, by twice Prasad and
    Rao's g3: once for what a wrong variance adds to the predictions' error, once for
    what estimating it takes off the rest.
    """
    nan, none = float("nan"), np.full(slope.shape, np.nan)
    if slope.size < 2 or not np.isfinite(covariance).all():
        return nan, nan, none, none.copy()
    variance = 0.0
    for _ in range(_PASSES):
        factor = _factor(covariance + variance * np.eye(slope.size))
        ones, weighted = _divided(factor, np.stack([np.ones(slope.size), slope]).T).T
        mean = weighted.sum() / ones.sum()
        left = weighted - mean * ones
        # Monotone from below: the excess falls and is convex in the variance.
        excess = slope @ left - (slope.size - 1)
        move = excess / (left @ left) if excess > 0 else 0.0
        if move <= 1e-9 * (variance + _NOTHING * float(np.mean(slope**2))):
            break
        variance += move
    root = solve_triangular(factor, covariance, lower=True)
    told = np.sum(root**2, axis=0) - (covariance @ ones) ** 2 / ones.sum()
    known = np.maximum(np.diagonal(covariance) - told, 0)
    inverse = solve_triangular(factor, np.eye(slope.size), lower=True)
    # The expected fall of the excess, whose variance is twice its degrees of freedom.
    fall = np.sum(inverse**2) - ones @ ones / ones.sum()
    variance_error = 2 * (slope.size - 1) / fall**2
    moved = solve_triangular(factor, _divided(factor, covariance), lower=True)
    unknown = 2 * variance_error * np.sum(moved**2, axis=0)
    # The expansion is one for many interviewers: few would outdo the slope's own error.
    spread = np.sqrt(np.minimum(known + unknown, np.diagonal(covariance)))
    return float(mean), variance, slope - covariance @ left, spread


def _by_row(values: Floats, rows: Integers, n: int) -> Floats:
    """Values of some rows among all; NaN elsewhere."""
    spread = np.full(n, np.nan)
    spread[rows] = values
    return spread


def _centred(
    effect: Floats, covariance: Floats, n_cards: Integers, sets: Integers
) -> tuple[Floats, Floats]:
    """Severities about the card-weighted mean of their set, and standard errors."""
    _, group = np.unique(sets, return_inverse=True)
    member = np.equal.outer(group, np.arange(group.max() + 1))
    weight = member * n_cards[:, None]
    weight = weight / weight.sum(axis=0)
    shared = covariance @ weight
    variance = np.diagonal(covariance) - 2 * shared[np.arange(group.size), group]
    variance = variance + np.sum(weight * shared, axis=0)[group]
    has_peers = member.sum(axis=0)[group] > 1
    severity = (effect @ weight)[group] - effect
    se = np.sqrt(np.maximum(variance, 0))
    return np.where(has_peers, severity, np.nan), np.where(has_peers, se, np.nan)


# --- the mixed model -------------------------------------------------------------


def _indicator(code: Integers, width: int, values: Floats | None = None) -> Sparse:
    """One row per card with one entry in the column of its code; none for −1."""
    rows = np.flatnonzero(code >= 0)
    entries = np.ones(rows.size) if values is None else values[rows]
    return sp.csr_array((entries, (rows, code[rows])), shape=(code.size, width))


def _column_squares(columns: Sparse) -> Floats:
    squares = np.bincount(columns.indices, columns.data**2, columns.shape[1])
    return np.asarray(squares, dtype=np.float64)


def _times(columns: Sparse | sp.csc_array, values: Floats) -> Floats:
    return np.asarray(columns @ values, dtype=np.float64)


def _sets(columns: Sparse, cell: Integers) -> Integers:
    """Set of each column, then of each cell, that cards connect."""
    entries, width = columns.tocoo(), columns.shape[1]
    size = width + int(cell.max()) + 1
    links = sp.coo_array(
        (np.ones(entries.nnz), (entries.col, width + cell[entries.row])),
        shape=(size, size),
    )
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def _cells(columns: Sparse, squares: Floats, cell: Integers) -> _Cells:
    """Cells to keep beside the columns of the blocks, which are orthogonal."""
    met = (columns.T @ _indicator(cell, int(cell.max()) + 1)).toarray()
    n_cards = np.bincount(cell)
    rest = np.diag(n_cards) - (met.T / squares) @ met
    # Shares of each cell's cards, so that one limit fits all.
    rest = rest / np.sqrt(np.outer(n_cards, n_cards))
    values, vectors = np.linalg.eigh(rest)
    null = vectors[:, values < _NOTHING] / np.sqrt(n_cards)[:, None]
    null = null / np.abs(null).max(axis=0, initial=0)
    order = qr(rest, mode="r", pivoting=True)[-1]
    kept = np.sort(order[: n_cards.size - null.shape[1]]).astype(np.int64)
    return _Cells(kept, null, (met @ null) / squares[:, None])


def _model(
    cards: _Cards, columns: Sparse, unit: Integers, widths: Integers
) -> tuple[_Model, _Cells]:
    """What the likelihood needs of the cards; `widths` are those of the blocks."""
    squares = _column_squares(columns)
    cells = _cells(columns, squares, cards.cell)
    position = np.full(cards.n_cells, -1)
    position[cells.kept] = np.arange(cells.kept.size)
    border = _indicator(position[cards.cell], cells.kept.size)
    every = sp.hstack([columns, border], format="csr")
    layout = _layout(widths, cells.kept.size)
    _, code, size = np.unique(unit, return_inverse=True, return_counts=True)
    by_unit = _indicator(code, size.size).T.tocsr() @ every
    sizes, counts = np.unique(size, return_counts=True)
    shared = [by_unit[size == k] for k in sizes]
    model = _Model(
        score=cards.score,
        rounding=_EXACT * float(np.sum((cards.score + cards.centre) ** 2)),
        columns=every,
        unit=code,
        unit_size=size.astype(np.float64),
        layout=layout,
        ordinary=_sums(every.T @ every, layout),
        sizes=sizes.astype(np.float64),
        counts=counts.astype(np.float64),
        shared=tuple(_sums(part.T @ part, layout) for part in shared),
    )
    return model, cells


def _layout(widths: Integers, border: int) -> _Layout:
    ends = np.cumsum(widths)
    offsets = np.concatenate([[0], np.cumsum(widths**2 + widths * border)])
    return _Layout(ends - widths, widths, border, offsets)


def _sums(product: sp.csr_array | sp.csc_array, layout: _Layout) -> _Sums:
    """Entries of a symmetric product at their places in the store."""
    entries = product.tocoo()
    row, col, width = entries.row, entries.col, layout.width
    kept = (row >= col) & (col < width) & (row < width) | (col >= width)
    row, col, values = row[kept].astype(np.int64), col[kept], entries.data[kept]
    block = np.searchsorted(layout.starts, np.minimum(row, width - 1), "right") - 1
    own, across = row - layout.starts[block], col - width
    start, w = layout.offsets[block], layout.widths[block]
    at = np.where(
        row >= width,
        layout.offsets[-1] + (row - width) * layout.border + across,
        np.where(
            across >= 0,
            start + w**2 + own * layout.border + across,
            start + own * w + col - layout.starts[block],
        ),
    )
    # Only one of two equal halves is stored, except in the corner.
    is_once = (row >= width) | (row == col)
    return _Sums(at, values, np.where(is_once, values, 2 * values))


def _start(model: _Model) -> float:
    """Variance ratio from products of ordinary residuals within and across cards.

    Residuals lack what the lines took of their cards; what cells took is left out.
    """
    width = model.layout.width
    lines, border = model.columns[:, :width], model.columns[:, width:]
    squares = _column_squares(lines)
    residual = model.score - _times(lines, _times(lines.T, model.score) / squares)
    met = (border.T @ lines).toarray()
    rest = np.asarray((border.T @ border).toarray() - (met / squares) @ met.T)
    effects = np.asarray(np.linalg.solve(rest, _times(border.T, residual)), np.float64)
    residual += _times(lines, effects @ met / squares) - _times(border, effects)
    left = np.maximum(1 - _times(lines.power(2), 1 / squares), 0.0)
    sums, shares = np.bincount(model.unit, residual), np.bincount(model.unit, left)
    total = float(residual @ residual) / max(float(left.sum()), 1e-300)
    pairs = max(float(shares @ shares - left @ left), 1e-300)
    between = float(sums @ sums - residual @ residual) / pairs
    return float(np.clip(between / max(total - between, 1e-300), 0.05, 20.0))


def _fit(model: _Model) -> _Fit:
    """Generalised least squares at the ratio of largest restricted likelihood.

    Newton steps with the average of observed and expected information, then with what
    the slope lost over the last step, kept between the ratios known to be too small
    and too large.
    """
    at, low, high = float(np.log1p(_start(model) / _KNEE)), -np.inf, np.inf
    close = _CLOSE_WIDE if model.columns.shape[1] > _WIDE else _CLOSE
    step = _step(model, at)
    if step.df < 1 or step.squares == 0:
        return _Fit(step, at, float("nan"))
    bend = step.bend
    for _ in range(_PASSES):
        if abs(step.slope) < 1e-8 and step.bend < 1e-10:
            # Flat: the cards cannot tell candidates from the rest.
            return _Fit(_step(model, 0.0), 0.0, float("nan"))
        low, high = (low, at) if step.slope > 0 else (at, high)
        move = -step.slope / max(bend, 1e-12)
        new = float(np.clip(at + np.clip(move, -_STRIDE, _STRIDE), 0.0, _TOP))
        if new == at or move**2 * bend < close:
            break
        new = new if low < new < high else (low + high) / 2
        last, gone = step, new - at
        step, at = _step(model, new), new
        # Far from the end the slope bends, at the end only rounding is left of it.
        lost, bend = step.slope - last.slope, step.bend
        if abs(lost - bend * gone) < _STRAIGHT * bend * abs(gone):
            bend = lost / gone
    return _Fit(step, at, step.ratio * step.var_resid)


def _step(model: _Model, at: float) -> _Step:
    """Solution and slope of the likelihood at a search coordinate."""
    ratio = _KNEE * float(np.expm1(at))
    solver = _solver(model, ratio)
    effects = solver.solve(model.gathered(model.score, ratio))
    white = model.whitened(model.score - model.columns @ effects, ratio)
    squares, df = float(model.score @ white), model.score.size - effects.size
    squares = squares if squares > model.rounding else 0.0
    sums = np.asarray(np.bincount(model.unit, white), dtype=np.float64)
    explained = float(sums @ sums) / squares if squares > 0 else 0.0
    working = sums[model.unit]
    right = model.gathered(working, ratio)
    product = float(working @ model.whitened(working, ratio))
    product -= float(right @ solver.solve(right))
    store = solver.inverted()
    per_card = 1 / (1 + model.sizes * ratio)
    trace = float(model.counts * model.sizes @ per_card)
    for share, part in zip(per_card**2, model.shared, strict=True):
        trace -= share * float(part.traced @ store[part.at])
    scale = ratio + _KNEE
    bend = df * (product / squares - explained**2) if squares > 0 else 0.0
    return _Step(
        ratio=ratio,
        effects=effects,
        store=store,
        squares=squares,
        df=df,
        slope=(trace - df * explained) * scale,
        bend=bend * scale**2,
    )


def _solver(model: _Model, ratio: float) -> _Solver:
    """Factors of the normal equations, units integrated out; cells last."""
    layout = model.layout
    store = np.zeros(int(layout.offsets[-1]) + layout.border**2)
    store[model.ordinary.at] = model.ordinary.values
    for size, part in zip(model.sizes, model.shared, strict=True):
        store[part.at] -= ratio / (1 + size * ratio) * part.values
    corner = layout.corner(store)
    leans = []
    for block in range(layout.widths.size):
        square, cross = layout.square(store, block), layout.cross(store, block)
        square[...] = positive_inverse(square)
        leans.append(square @ cross)
        corner -= cross.T @ leans[-1]
    inverse = np.asarray(np.linalg.inv(corner), dtype=np.float64)
    return _Solver(layout, store, leans, inverse)


def _factor(lower: Floats) -> Floats:
    """Cholesky factor in place of a lower half, whose upper half is not read."""
    factor, _ = dpotrf(lower.T, lower=0, overwrite_a=1, clean=0)
    return np.asarray(factor.T)


def _divided(factor: Floats, right: Floats) -> Floats:
    """Solution of the factored equations for each column."""
    if not right.size:
        return np.zeros_like(right)
    return np.asarray(dpotrs(factor.T, right, lower=0)[0])
