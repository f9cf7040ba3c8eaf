"""Many-facet Rasch models by marginal maximum likelihood: severity, levels and fit.

The log-odds of level k against the one below are candidate − difficulty of the item −
severity of the interviewer − threshold k, with candidates drawn from one normal
distribution and integrated out. Given the candidate, ratings count as independent;
where an interviewer's ratings of one candidate hang together (halo), thresholds come
out too close together, standard errors too small and reliabilities too high.
Candidates' measures serve fit and separation; they are no ranking.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

# The integral over candidates is a sum over equally spaced nodes of the standard normal
# between ±`_REACH`. For spacing h its relative error is about 2·exp(−2π²·(s/h)²), with
# s the smallest posterior standard deviation, and exp(−2π·d/h), with d ≥ π / (deviation
# × steps of the scale) the distance of the likelihood's poles, and more for poles of
# high order. With h = 0.8·min(s, d/π) log-likelihoods are right to about 1e-8.
_REACH, _WIDEST, _FINE, _MOST_NODES = 8.0, 0.5, 0.8, 2001
# A fit ends where the next step is shorter than this, squared and in standard errors.
_SETTLED, _STEPS, _LONGEST, _KICK = 1e-10, 200, 2.0, 0.5
# Logits beyond which an estimate or its standard error is on its way to infinity, and a
# standard deviation of candidates that is none.
_INFINITE, _NO_SPREAD = 20.0, 1e-3
# Shares of the largest below which directions of the design are not determined, and
# squared distances between interviewers' shifts are none.
_NULL, _SAME = 1e-10, 1e-6
# Rows of sums over one design's parameters held at once: about 10 MB.
_BLOCK = 20_000


@dataclass(frozen=True)
class ManyFacet:
    """A fitted model: estimates in logits, NaN where not estimable.

    Attributes
    ----------
    severity, severity_se : ndarray, shape (n_interviewers,)
        Positive = stricter; the mean of each comparable set is zero. NaN for an
        interviewer without a peer, and for one who gave only the lowest or only the
        highest level, whose severity is infinite.
    severity_set : ndarray of int, shape (n_interviewers,)
        Code of the set within which severities can be compared through shared
        candidates and items; -1 where `severity` is NaN.
    difficulty, difficulty_se : ndarray, shape (n_items,)
        Positive = harder; their mean is zero. NaN for an item that got only the lowest
        or only the highest level. Between items that no interviewer shares, the
        difference includes that of the interviewers.
    threshold, threshold_se : ndarray, shape (n_scales, n_levels - 1)
        Step up to level 1, 2, … relative to the difficulty; from the lowest to the
        highest level used they sum to zero. One scale in the rating-scale form, one
        per item in the partial-credit form. NaN on both sides of a level never used.
    threshold_cov : ndarray, shape (n_scales, n_levels - 1, n_levels - 1)
        Their covariance.
    mean, mean_se, variance, variance_se : float
        Distribution of candidates, in logits and squared logits. The mean is relative
        to the average item and interviewer; a variance of zero has no standard error.
    measure, measure_sd : ndarray, shape (n_candidates,)
        Mean and standard deviation of each candidate's posterior distribution (EAP);
        NaN without an informative rating.
    log_likelihood : float
        Of the ratings in their order, without combinatorial constants.
    n_ratings, n_parameters : int
        Ratings that are not missing; free parameters.
    converged : bool
        False where the likelihood has no single highest point; all is NaN then.
    boundary : bool
        Whether the variance is zero.
    """

    severity: Floats
    severity_se: Floats
    severity_set: Integers
    difficulty: Floats
    difficulty_se: Floats
    threshold: Floats
    threshold_se: Floats
    threshold_cov: Floats
    mean: float
    mean_se: float
    variance: float
    variance_se: float
    measure: Floats
    measure_sd: Floats
    log_likelihood: float
    n_ratings: int
    n_parameters: int
    converged: bool
    boundary: bool
    _ratings: "_Ratings" = field(repr=False, compare=False)
    _found: "_Found | None" = field(repr=False, compare=False)


@dataclass(frozen=True)
class LevelUse:
    """How each level of the rubric works, by scale.

    Attributes
    ----------
    n : ndarray of int, shape (n_scales, n_levels)
        Ratings at the level.
    measure : ndarray, shape (n_scales, n_levels)
        Mean of candidate − difficulty − severity over the ratings at the level, in
        logits; NaN where there is none.
    outfit : ndarray, shape (n_scales, n_levels)
        Mean squared standardised residual of the ratings at the level.
    distance, distance_se : ndarray, shape (n_scales, n_levels - 2)
        Logits between adjacent thresholds.
    distance_z : ndarray, shape (n_scales, n_levels - 2)
        Distance less the wanted one, in standard errors; negative = too close.
    is_disordered : ndarray of bool, shape (n_scales,)
        Whether a threshold lies below the one before it.
    is_increasing : ndarray of bool, shape (n_scales,)
        Whether `measure` rises from each level used to the next.
    """

    n: Integers
    measure: Floats
    outfit: Floats
    distance: Floats
    distance_se: Floats
    distance_z: Floats
    is_disordered: Booleans
    is_increasing: Booleans


@dataclass(frozen=True)
class MeanSquares:
    """Fit of each interviewer or item; 1 is expected, more is noise.

    Attributes
    ----------
    n : ndarray of int
        Ratings used.
    infit, outfit : ndarray
        Mean squares weighted by information, and unweighted; NaN without ratings.
    """

    n: Integers
    infit: Floats
    outfit: Floats


@dataclass(frozen=True)
class Fit:
    """Mean squares by interviewer and by item."""

    interviewer: MeanSquares
    item: MeanSquares


@dataclass(frozen=True)
class MeanSquareLimits:
    """Critical values of mean squares for each interviewer or item.

    Attributes
    ----------
    infit_low, infit_high, outfit_low, outfit_high : ndarray
        Bounds that mean squares leave in 1 - level of data sets that fit; infinite
        where there are too few replicates for the level, NaN without an estimate.
    infit_p, outfit_p : ndarray
        Two-sided bootstrap p-values; none is below 2 / (replicates + 1).
    """

    infit_low: Floats
    infit_high: Floats
    infit_p: Floats
    outfit_low: Floats
    outfit_high: Floats
    outfit_p: Floats


@dataclass(frozen=True)
class FitLimits:
    """Critical values by interviewer and by item."""

    interviewer: MeanSquareLimits
    item: MeanSquareLimits


@dataclass(frozen=True)
class Separation:
    """How far apart the elements of a facet lie, against the error of measurement.

    Attributes
    ----------
    n : int
        Elements measured.
    true_sd, rmse : float
        Standard deviation of the true measures, and root mean squared error, in logits.
    separation : float
        True standard deviation over error, G.
    strata : float
        Statistically distinct levels, (4G + 1) / 3.
    reliability : float
        Share of true variance, G² / (1 + G²).
    """

    n: int
    true_sd: float
    rmse: float
    separation: float
    strata: float
    reliability: float


@dataclass(frozen=True)
class _Ratings:
    """Ratings that are not missing, and the sizes of the answer."""

    score: Integers
    candidate: Integers
    item: Integers
    interviewer: Integers
    n_candidates: int
    n_items: int
    n_interviewers: int
    n_levels: int
    is_partial_credit: bool

    @property
    def scale(self) -> Integers:
        """Scale of each rating."""
        return self.item if self.is_partial_credit else np.zeros_like(self.item)

    @property
    def n_scales(self) -> int:
        """One, or one per item."""
        return self.n_items if self.is_partial_credit else 1


@dataclass(frozen=True)
class _Cells:
    """Items under interviewers, and the parameters each of them has.

    A cell has `n_levels` features: the expected score, then the probabilities of level
    1, 2, …. Item and interviewer collect the first; free levels collect their own.

    Attributes
    ----------
    of_rating, row : ndarray of int, shape (n_kept,)
        Cell and candidate (place in `candidates`) of each rating kept.
    items, interviewers, candidates : ndarray of int
        Codes of those who are left.
    item, interviewer, scale : ndarray of int, shape (n_cells,)
        Places of each cell's item, interviewer and scale.
    n_at_level : ndarray of int, shape (n_scales, n_levels)
        Ratings kept at each level.
    free : ndarray of int, shape (n_scales, n_levels)
        Parameter of each level between the lowest and the highest used; -1 elsewhere.
    parameter : ndarray of int, shape (n_cells, n_levels + 1)
        Parameters of each cell; -1 for a level that is not free.
    feature : ndarray of int, shape (n_levels + 1,)
        Feature that each of them collects.
    n_linear : int
        Parameters besides the standard deviation of candidates.
    """

    of_rating: Integers
    row: Integers
    items: Integers
    interviewers: Integers
    candidates: Integers
    item: Integers
    interviewer: Integers
    scale: Integers
    n_at_level: Integers
    free: Integers
    parameter: Integers
    feature: Integers
    n_linear: int

    @property
    def n_levels(self) -> int:
        """Levels of the rubric."""
        return self.n_at_level.shape[1]


@dataclass(frozen=True)
class _Patterns:
    """Candidates with the same cells share a design, and with the same total a pattern.

    Given the parameters, nothing else of a candidate's ratings bears on the posterior.

    Attributes
    ----------
    of_candidate : ndarray of int, shape (n_candidates,)
        Pattern of each candidate left.
    weight, total, design : ndarray, shape (n_patterns,)
        Candidates, sum of scores and design, in the order of designs.
    first : ndarray of int, shape (n_designs,)
        First pattern of each design.
    counts : csr_matrix, shape (n_designs, n_cells)
        Ratings by cell.
    slots : csr_matrix, shape (n_slots, n_features)
        What each parameter collects in a design that has it; designs with equally many
        parameters stand together.
    slot_parameter : ndarray of int, shape (n_slots,)
        Parameter of each slot.
    blocks : list of tuple
        Ranges of designs and their slots to be worked on at once, all of one width.
    """

    of_candidate: Integers
    weight: Floats
    total: Floats
    design: Integers
    first: Integers
    counts: sp.csr_matrix
    slots: sp.csr_matrix
    slot_parameter: Integers
    blocks: list[tuple[slice, slice]]


@dataclass(frozen=True)
class _Model:
    """What the likelihood depends on.

    `observed` holds the sufficient statistics of the linear parameters. The likelihood
    does not change along the columns of `null`; those of `constraint` are held at zero.
    """

    cells: _Cells
    patterns: _Patterns
    observed: Floats
    constraint: Floats
    null: Floats


@dataclass(frozen=True)
class _Value:
    """Log-likelihood at a point.

    Attributes
    ----------
    log_likelihood : float
    nodes : ndarray, shape (n_nodes,)
        Standardised measures of candidates.
    posterior : ndarray, shape (n_patterns, n_nodes)
    probability : ndarray, shape (n_cells, n_levels, n_nodes)
    expected : ndarray, shape (n_cells, n_nodes)
        Mean score.
    """

    log_likelihood: float
    nodes: Floats
    posterior: Floats
    probability: Floats
    expected: Floats


@dataclass(frozen=True)
class _Found:
    """The highest point and its neighbourhood; the last parameter is the deviation."""

    model: _Model
    at: Floats
    value: _Value
    covariance: Floats
    kept: Booleans


@dataclass(frozen=True)
class _Start:
    """Where to begin, by the codes of the ratings."""

    item: Floats
    interviewer: Floats
    level: Floats
    deviation: float


@dataclass(frozen=True)
class _Residuals:
    """Sums over the ratings of each cell and level, shape (n_cells, n_levels)."""

    n: Floats
    squared: Floats
    variance: Floats
    standardised: Floats
    measure: Floats


def many_facet(
    score: ArrayLike,
    candidate: ArrayLike,
    *,
    item: ArrayLike,
    interviewer: ArrayLike,
    n_levels: int,
    partial_credit: bool = False,
    n_candidates: int | None = None,
    n_items: int | None = None,
    n_interviewers: int | None = None,
) -> ManyFacet:
    """Return severities, difficulties and thresholds with their standard errors.

    Standard errors come from the observed information of the marginal likelihood, by
    Louis's identity: exact second derivatives, no cross-products.

    Parameters
    ----------
    score : array_like, shape (n_ratings,)
        Level of each rating, 0 to `n_levels` - 1; NaN is missing. Any design will do:
        what was not rated has no row.
    candidate, item, interviewer : array_like of int, shape (n_ratings,)
        Codes from 0.
    n_levels : int
        Levels of the rubric, used or not. One that nobody used keeps its place on the
        scale with probability zero, which is where the likelihood is highest.
    partial_credit : bool
        Whether each item has thresholds of its own.
    n_candidates, n_items, n_interviewers : int, optional
        Sizes of the answer; from the largest codes when left out.

    Returns
    -------
    ManyFacet
        All NaN where no candidate has two informative ratings, since the spread of
        candidates is not estimable then. Severities compare within sets linked by
        candidates and items; between sets they would rest on the assumption that the
        candidates are alike.

    Raises
    ------
    ValueError
        If the arrays differ in length, a code is negative or beyond its size, or a
        score is not a level.

    References
    ----------
    Linacre (1989), Many-Facet Rasch Measurement; Andrich (1978), Psychometrika 43,
    561-573; Masters (1982), Psychometrika 47, 149-174; Bock & Aitkin (1981),
    Psychometrika 46, 443-459; Louis (1982), JRSS B 44, 226-233; unused levels: Wilson
    & Masters (1993), Psychometrika 58, 87-99.
    """
    if n_levels < 2:
        raise ValueError(f"n_levels must be at least 2, got {n_levels}")
    levels = np.asarray(score, dtype=np.float64)
    candidates, count = _codes("candidate", candidate, levels, n_candidates)
    items, item_count = _codes("item", item, levels, n_items)
    interviewers, size = _codes("interviewer", interviewer, levels, n_interviewers)
    known = ~np.isnan(levels)
    inside = (levels >= 0) & (levels < n_levels) & (levels == np.floor(levels))
    if (known & ~inside).any():
        raise ValueError(
            f"score must be a level from 0 to {n_levels - 1}, "
            f"got {levels[known & ~inside][0]:g}"
        )
    ratings = _Ratings(
        score=levels[known].astype(np.int64),
        candidate=candidates[known],
        item=items[known],
        interviewer=interviewers[known],
        n_candidates=count,
        n_items=item_count,
        n_interviewers=size,
        n_levels=n_levels,
        is_partial_credit=partial_credit,
    )
    return _result(ratings, _fitted(ratings))


def level_use(fit: ManyFacet, *, advance: float = 1.4) -> LevelUse:
    """Return counts, average measures and threshold distances of each level.

    Parameters
    ----------
    fit : ManyFacet
        A fitted model.
    advance : float
        Logits by which thresholds should rise at least; 1.4 for three levels and 1.0
        for five.

    Returns
    -------
    LevelUse
        Counts are of all ratings, measures and outfit of the informative ones. What is
        not estimable counts as in order.

    References
    ----------
    Linacre (2002), Journal of Applied Measurement 3, 85-106.
    """
    ratings = fit._ratings
    shape = ratings.n_scales, ratings.n_levels
    place = ratings.scale * ratings.n_levels + ratings.score
    n = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    measure, outfit = np.full(shape, np.nan), np.full(shape, np.nan)
    if fit._found is not None:
        measure, outfit = _by_level(fit._found, ratings)
    distance = np.diff(fit.threshold, axis=1)
    cov = fit.threshold_cov
    own = np.diagonal(cov, axis1=1, axis2=2)
    shared = np.diagonal(cov, offset=1, axis1=1, axis2=2)
    distance_se = np.sqrt(own[:, 1:] + own[:, :-1] - 2 * shared)
    with np.errstate(invalid="ignore"):
        distance_z = (distance - advance) / distance_se
    return LevelUse(
        n=n,
        measure=measure,
        outfit=outfit,
        distance=distance,
        distance_se=distance_se,
        distance_z=distance_z,
        is_disordered=np.asarray((distance < 0).any(axis=1)),
        is_increasing=_increasing(measure),
    )


def mean_squares(fit: ManyFacet) -> Fit:
    """Return infit and outfit mean squares by interviewer and by item.

    Squared residuals are averaged over the candidate's posterior distribution instead
    of being taken at a point: a candidate drawn from it and the ratings are jointly
    distributed as under the model, so that the expectation is 1 but for the
    estimation of the parameters.

    Parameters
    ----------
    fit : ManyFacet
        A fitted model.

    Returns
    -------
    Fit
        NaN for those without an estimate.

    References
    ----------
    Wright & Masters (1982), Rating Scale Analysis, ch. 5; the average over posteriors
    is that of `msq.itemfit` in R's TAM.
    """
    return _fit_of(fit._found, fit._ratings)


def mean_square_limits(
    fit: ManyFacet,
    rng: np.random.Generator,
    *,
    replicates: int = 199,
    level: float = 0.95,
) -> FitLimits:
    """Return critical values of the mean squares from data that fit.

    The spread of a mean square depends on the number of ratings: with 10 candidates of
    3 items each, limits of 0.7 and 1.3 reject 14 % of the interviewers who fit. Here
    candidates and ratings are drawn from the fitted model in the same design, and the
    model is fitted anew to each draw.

    Parameters
    ----------
    fit : ManyFacet
        A fitted model.
    rng : numpy.random.Generator
        Source of the draws.
    replicates : int
        Data sets drawn; 199 or 999 give exact ranks at 95 %.
    level : float
        Share of fitting data inside each pair of limits.

    Returns
    -------
    FitLimits
        Limits are order statistics of the draws.

    References
    ----------
    Wolfe (2013), Journal of Applied Measurement 14, 1-9; Davison & Hinkley (1997),
    Bootstrap Methods and their Application, 4.2, for the ranks.
    """
    observed = mean_squares(fit)
    draws: list[Fit] = []
    if fit._found is not None:
        start = _start_from(fit._found, fit._ratings)
        for _ in range(replicates):
            ratings = _simulated(fit._found, fit._ratings, rng)
            draws.append(_fit_of(_fitted(ratings, start), ratings))
    return FitLimits(
        interviewer=_limits(
            observed.interviewer, [draw.interviewer for draw in draws], level
        ),
        item=_limits(observed.item, [draw.item for draw in draws], level),
    )


def interviewer_separation(fit: ManyFacet) -> Separation:
    """Return how well the panel's severities can be told apart.

    Variances are taken within comparable sets with the degrees of freedom of their
    means. High values are bad news: exchangeable interviewers have a reliability of 0.

    Parameters
    ----------
    fit : ManyFacet
        A fitted model.

    Returns
    -------
    Separation
        Zero separation where severities vary no more than their errors; NaN for fewer
        than two interviewers.

    References
    ----------
    Wright & Masters (1982), Rating Scale Analysis, ch. 5, for G, strata and
    reliability; Linacre (1989), Many-Facet Rasch Measurement.
    """
    known = fit.severity_set >= 0
    free = int(known.sum()) - np.unique(fit.severity_set[known]).size
    if not free:
        return _separation(0, np.nan, np.nan)
    error = float(np.sum(fit.severity_se[known] ** 2)) / free
    spread = float(np.sum(fit.severity[known] ** 2)) / free
    return _separation(int(known.sum()), max(spread - error, 0.0), error)


def candidate_separation(fit: ManyFacet) -> Separation:
    """Return how well the ratings tell candidates apart.

    Parameters
    ----------
    fit : ManyFacet
        A fitted model.

    Returns
    -------
    Separation
        Reliability is the variance of the posterior means over itself plus the mean
        posterior variance (EAP reliability); NaN for fewer than two candidates.

    References
    ----------
    Adams (2005), Studies in Educational Evaluation 31, 162-172.
    """
    known = ~np.isnan(fit.measure)
    if known.sum() < 2:
        return _separation(0, np.nan, np.nan)
    return _separation(
        int(known.sum()),
        0.0 if fit.boundary else float(np.var(fit.measure[known])),
        float(np.mean(fit.measure_sd[known] ** 2)),
    )


def _codes(
    name: str, codes: ArrayLike, levels: Floats, size: int | None
) -> tuple[Integers, int]:
    """Codes of one facet, checked, and how many there are."""
    values = np.asarray(codes, dtype=np.int64)
    if values.shape != levels.shape or levels.ndim != 1:
        raise ValueError(
            f"{name} must have one code per score, "
            f"got {values.shape} for {levels.shape}"
        )
    if (values < 0).any():
        raise ValueError(f"{name} must not be negative, got {values.min()}")
    if size is None:
        return values, int(values.max(initial=-1)) + 1
    if (values >= size).any():
        raise ValueError(f"{name} must be below {size}, got {values.max()}")
    return values, size


def _fitted(ratings: _Ratings, start: _Start | None = None) -> _Found | None:
    """The highest point of the likelihood, or None where there is no single one."""
    kept = _informative(ratings)
    if np.bincount(ratings.candidate[kept], minlength=1).max() < 2:
        return None
    model = _model(ratings, kept)
    at = _first_guess(model) if start is None else _guess_from(start, model)
    return _highest(model, at, kept)


def _informative(ratings: _Ratings) -> Booleans:
    """Ratings by and of those who do not always stand at one end of the scale.

    The others' estimates are infinite; their ratings have probability one and say
    nothing on anything else. Leaving them out may bring others to an end.
    """
    kept = np.ones(ratings.score.size, dtype=np.bool_)
    scale = ratings.scale
    while True:
        low = np.full(ratings.n_scales, ratings.n_levels)
        high = np.full(ratings.n_scales, -1)
        np.minimum.at(low, scale[kept], ratings.score[kept])
        np.maximum.at(high, scale[kept], ratings.score[kept])
        drop = np.zeros_like(kept)
        for code in (ratings.item, ratings.interviewer):
            for end in (low, high):
                is_away = kept & (ratings.score != end[scale])
                drop |= np.bincount(code, is_away)[code] == 0
        if not (drop & kept).any():
            return kept
        kept &= ~drop


def _model(ratings: _Ratings, kept: Booleans) -> _Model:
    """Cells, patterns and sufficient statistics of the ratings kept."""
    cells = _cells(ratings, kept)
    score = ratings.score[kept]
    shape = cells.item.size, ratings.n_levels
    place = cells.of_rating * ratings.n_levels + score
    count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
    statistics = count.astype(np.float64)
    statistics[:, 0] = count @ np.arange(ratings.n_levels)
    constraint, null = _constraints(cells)
    return _Model(
        cells=cells,
        patterns=_patterns(cells, score),
        observed=_collected(cells, statistics),
        constraint=constraint,
        null=null,
    )


def _cells(ratings: _Ratings, kept: Booleans) -> _Cells:
    """Cells of the ratings kept, and their parameters."""
    score, n_levels = ratings.score[kept], ratings.n_levels
    items, item = _places(ratings.item[kept])
    interviewers, interviewer = _places(ratings.interviewer[kept])
    candidates, row = _places(ratings.candidate[kept])
    keys, of_rating = _places(item * interviewers.size + interviewer)
    cell_item, cell_interviewer = np.divmod(keys, interviewers.size)
    scale = cell_item if ratings.is_partial_credit else np.zeros_like(cell_item)
    shape = int(scale.max()) + 1, n_levels
    place = scale[of_rating] * n_levels + score
    n_at_level = np.bincount(place, minlength=shape[0] * n_levels).reshape(shape)
    is_used = n_at_level > 0
    # The lowest and the highest level used are fixed: they carry the difficulty.
    rank = np.cumsum(is_used, axis=1)
    is_free = is_used & (rank > 1) & (rank < rank[:, -1:])
    n_elements, n_free = items.size + interviewers.size, int(is_free.sum())
    free = np.full(shape, -1, dtype=np.int64)
    free[is_free] = n_elements + np.arange(n_free)
    return _Cells(
        of_rating=of_rating,
        row=row,
        items=items,
        interviewers=interviewers,
        candidates=candidates,
        item=cell_item,
        interviewer=cell_interviewer,
        scale=scale,
        n_at_level=n_at_level,
        free=free,
        parameter=np.column_stack(
            [cell_item, items.size + cell_interviewer, free[scale, 1:]]
        ),
        feature=np.concatenate([[0, 0], np.arange(1, n_levels)]),
        n_linear=n_elements + n_free,
    )


def _constraints(cells: _Cells) -> tuple[Floats, Floats]:
    """Severities sum to zero among interviewers linked by items, one column each."""
    n_items, n = cells.items.size, cells.items.size + cells.interviewers.size
    link = _table(cells.item, n_items + cells.interviewer, (n, n))
    n_sets, sets = connected_components(link, directed=False)
    member = sets[:, None] == np.arange(n_sets)
    constraint = np.zeros((cells.n_linear + 1, n_sets))
    null = np.zeros_like(constraint)
    constraint[n_items:n] = member[n_items:]
    # Scaled so that the product of each column with its constraint is 1.
    null[:n] = member / member[n_items:].sum(axis=0)
    null[:n_items] *= -1
    return constraint, null


def _patterns(cells: _Cells, score: Integers) -> _Patterns:
    """Designs, patterns and slots, with designs in order of their width."""
    n_cells = cells.item.size
    design = _design_of(cells)
    _, example = np.unique(design, return_index=True)
    is_example = np.isin(cells.row, example)
    counts = _table(
        design[cells.row[is_example]],
        cells.of_rating[is_example],
        (example.size, n_cells),
    )
    parameters = (counts @ _table(*_owned(cells), (n_cells, cells.n_linear))) > 0
    width = np.diff(parameters.indptr)
    order = np.argsort(width, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    counts, width = counts[order], width[order]
    total = np.bincount(cells.row, score).astype(np.int64)
    span = int(total.max()) + 1
    keys, of_candidate = _places(rank[design] * span + total)
    pattern_design, pattern_total = np.divmod(keys, span)
    slots, slot_parameter = _slots(cells, counts)
    return _Patterns(
        of_candidate=of_candidate,
        weight=np.bincount(of_candidate).astype(np.float64),
        total=pattern_total.astype(np.float64),
        design=pattern_design,
        first=np.searchsorted(pattern_design, np.arange(order.size)),
        counts=counts,
        slots=slots,
        slot_parameter=slot_parameter,
        blocks=_blocks(width),
    )


def _design_of(cells: _Cells) -> Integers:
    """Code of each candidate's collection of cells."""
    order = np.lexsort((cells.of_rating, cells.row))
    size = np.bincount(cells.row)
    place = np.arange(order.size) - np.repeat(np.cumsum(size) - size, size)
    sorted_cells = np.full((size.size, int(size.max())), -1, dtype=np.int64)
    sorted_cells[cells.row[order], place] = cells.of_rating[order]
    _, design = np.unique(sorted_cells, axis=0, return_inverse=True)
    return design.astype(np.int64).ravel()


def _owned(cells: _Cells) -> tuple[Integers, Integers]:
    """Pairs of a cell and a parameter of it."""
    cell, column = np.nonzero(cells.parameter >= 0)
    return cell, cells.parameter[cell, column]


def _slots(cells: _Cells, counts: sp.csr_matrix) -> tuple[sp.csr_matrix, Integers]:
    """Sums of features by design and parameter, and the parameter of each."""
    entries = counts.tocoo()
    parameter = cells.parameter[entries.col]
    feature = entries.col[:, None] * cells.n_levels + cells.feature
    design, times = (
        np.broadcast_to(values[:, None], parameter.shape)
        for values in (entries.row, entries.data)
    )
    has = parameter >= 0
    keys, slot = _places(design[has] * cells.n_linear + parameter[has])
    shape = keys.size, cells.item.size * cells.n_levels
    slots = _table(slot, feature[has], shape, times[has])
    return slots, keys % cells.n_linear


def _blocks(width: Integers) -> list[tuple[slice, slice]]:
    """Ranges of designs of one width, and of their slots."""
    blocks = []
    ends = np.concatenate([[0], np.cumsum(width)])
    edges = np.flatnonzero(np.diff(width, prepend=-1, append=-1))
    for start, stop in pairwise(edges.tolist()):
        size = max(1, _BLOCK // int(width[start]))
        for low in range(start, stop, size):
            high = min(low + size, stop)
            blocks.append((slice(low, high), slice(ends[low], ends[high])))
    return blocks


def _places(codes: Integers) -> tuple[Integers, Integers]:
    """Distinct codes in order, and the place of each entry among them."""
    distinct, place = np.unique(codes, return_inverse=True)
    return distinct, place.astype(np.int64)


def _table(
    row: Integers,
    column: Integers,
    shape: tuple[int, int],
    values: Floats | None = None,
) -> sp.csr_matrix:
    """Sparse matrix of the summed values, or of counts."""
    entries = np.ones(row.size) if values is None else values
    return sp.csr_matrix((entries, (row, column)), shape=shape)


def _first_guess(model: _Model) -> Floats:
    """Difficulties and thresholds that give the levels' frequencies, all else equal."""
    cells = model.cells
    n_at_level, scales = cells.n_at_level, np.arange(len(cells.n_at_level))
    low = np.argmax(n_at_level > 0, axis=1)
    high = cells.n_levels - 1 - np.argmax(n_at_level[:, ::-1] > 0, axis=1)
    odds = np.log(np.maximum(n_at_level, 1) / n_at_level[scales, low][:, None])
    slope = odds[scales, high] / (high - low)
    ramp = slope[:, None] * (np.arange(cells.n_levels) - low[:, None])
    at = np.zeros(cells.n_linear + 1)
    at[cells.item] = -slope[cells.scale]
    is_free = cells.free >= 0
    at[cells.free[is_free]] = (ramp - odds)[is_free]
    at[-1] = 1.0
    return at


def _guess_from(start: _Start, model: _Model) -> Floats:
    """Another fit's point, brought under this model's constraints."""
    cells = model.cells
    at = np.zeros(cells.n_linear + 1)
    elements = np.concatenate(
        [start.item[cells.items], start.interviewer[cells.interviewers]]
    )
    at[: elements.size] = elements
    scale, level = np.nonzero(cells.free >= 0)
    code = cells.items[scale] if len(start.level) > 1 else scale
    at[cells.free[scale, level]] = start.level[code, level]
    at[-1] = max(abs(start.deviation), 0.1)
    at = np.nan_to_num(at, posinf=0.0)
    return at - model.null @ (model.constraint.T @ at)


def _start_from(found: _Found, ratings: _Ratings) -> _Start:
    """The point of a fit, by the codes of its ratings; NaN for those left out."""
    cells, at = found.model.cells, found.at
    item = np.full(ratings.n_items, np.nan)
    interviewer = np.full(ratings.n_interviewers, np.nan)
    item[cells.items] = at[: cells.items.size]
    interviewer[cells.interviewers] = at[cells.items.size :][: cells.interviewers.size]
    level = np.full((ratings.n_scales, ratings.n_levels), np.nan)
    level[_scale_codes(cells, ratings)] = _level_terms(cells, at)
    return _Start(item, interviewer, level, float(at[-1]))


def _scale_codes(cells: _Cells, ratings: _Ratings) -> Integers:
    """Codes of the scales that are left."""
    return cells.items if ratings.is_partial_credit else np.zeros(1, dtype=np.int64)


def _level_terms(cells: _Cells, at: Floats) -> Floats:
    """Sum of the thresholds up to each level; infinite for a level not used."""
    terms = np.where(cells.n_at_level > 0, 0.0, np.inf)
    is_free = cells.free >= 0
    terms[is_free] = at[cells.free[is_free]]
    return terms


def _locations(cells: _Cells, at: Floats) -> Floats:
    """Difficulty and severity of each cell together, less the mean of candidates."""
    located: Floats = at[cells.item] + at[cells.items.size + cells.interviewer]
    return located


def _nodes(model: _Model, at: Floats) -> Floats:
    """Nodes as fine as the sharpest posterior at this point needs."""
    coarse = np.linspace(-_REACH, _REACH, 65)
    probability, expected, _ = _probabilities(model, at, coarse)
    information = model.patterns.counts @ _variance(probability, expected)
    deviation = abs(float(at[-1]))
    sharpest = 1 / np.sqrt(1 + deviation**2 * float(information.max()))
    steepest = 1 / max(deviation * (model.cells.n_levels - 1), 1.0)
    spacing = min(_WIDEST, _FINE * min(sharpest, steepest))
    half = min(int(np.ceil(_REACH / spacing)), _MOST_NODES // 2)
    return np.linspace(-_REACH, _REACH, 2 * half + 1)


def _probabilities(
    model: _Model, at: Floats, nodes: Floats
) -> tuple[Floats, Floats, Floats]:
    """Probability of each level by cell and node, mean score and log normaliser."""
    cells = model.cells
    level = np.arange(cells.n_levels)
    steps = (
        level * _locations(cells, at)[:, None] + _level_terms(cells, at)[cells.scale]
    )
    logit = level[:, None] * (at[-1] * nodes) - steps[:, :, None]
    peak = logit.max(axis=1)
    probability = np.exp(logit - peak[:, None])
    total = probability.sum(axis=1)
    probability /= total[:, None]
    expected = np.einsum("k,ckq->cq", level, probability)
    return probability, expected, peak + np.log(total)


def _variance(probability: Floats, expected: Floats) -> Floats:
    """Variance of a score by cell and node, exact far out on the scale too."""
    level = np.arange(probability.shape[1])[:, None]
    return np.asarray((probability * (level - expected[:, None]) ** 2).sum(axis=1))


def _value(model: _Model, at: Floats, nodes: Floats) -> _Value:
    """Log-likelihood and posteriors, integrated over candidates."""
    patterns = model.patterns
    probability, expected, normaliser = _probabilities(model, at, nodes)
    prior = np.exp(-(nodes**2) / 2)
    joint = at[-1] * nodes * patterns.total[:, None] + np.log(prior / prior.sum())
    joint -= (patterns.counts @ normaliser)[patterns.design]
    peak = joint.max(axis=1)
    posterior = np.exp(joint - peak[:, None])
    total = posterior.sum(axis=1)
    posterior /= total[:, None]
    log_likelihood = patterns.weight @ (peak + np.log(total))
    log_likelihood -= at[:-1] @ model.observed
    return _Value(float(log_likelihood), nodes, posterior, probability, expected)


def _slopes(model: _Model, value: _Value) -> tuple[Floats, Floats, Floats]:
    """Gradient, information if candidates were known, and observed information."""
    cells, patterns, nodes = model.cells, model.patterns, value.nodes
    weighted = patterns.weight[:, None] * value.posterior
    mass = np.add.reduceat(weighted, patterns.first, axis=0)
    by_cell = patterns.counts.T @ mass
    features = value.probability.copy()
    features[:, 0] = value.expected
    # The pull of a pattern on the deviation: node times total less expected total.
    pull = patterns.total[:, None] - (patterns.counts @ value.expected)[patterns.design]
    pull *= nodes
    gradient = np.append(
        _collected(cells, np.einsum("cq,ckq->ck", by_cell, features)) - model.observed,
        np.sum(weighted * pull),
    )
    level = np.arange(cells.n_levels)
    shared = value.probability * (level[:, None] - value.expected[:, None])
    shared[:, 0] = _variance(value.probability, value.expected)
    complete = np.empty((gradient.size, gradient.size))
    complete[:-1, :-1] = _linear_information(cells, value, features, by_cell)
    tilted = np.einsum("cq,ckq->ck", by_cell * nodes, shared)
    complete[-1, :-1] = complete[:-1, -1] = -_collected(cells, tilted)
    complete[-1, -1] = np.sum(by_cell * nodes**2 * shared[:, 0])
    flat = features.reshape(-1, nodes.size)
    missing = _missing_information(model, value, flat, pull)
    return gradient, complete, complete - missing


def _linear_information(
    cells: _Cells, value: _Value, features: Floats, by_cell: Floats
) -> Floats:
    """Covariance of the sufficient statistics if candidates were known."""
    level = np.arange(cells.n_levels)
    at_level = np.einsum("cq,ckq->ck", by_cell, value.probability)
    block = -(features * by_cell[:, None]) @ features.transpose(0, 2, 1)
    block[:, level, level] += at_level
    block[:, 0, 1:] += (level * at_level)[:, 1:]
    block[:, 1:, 0] += (level * at_level)[:, 1:]
    variance = _variance(value.probability, value.expected)
    block[:, 0, 0] = np.einsum("cq,cq->c", by_cell, variance)
    owned = block[:, cells.feature[:, None], cells.feature]
    # Levels that are not free are collected in a last row and column, cut off again.
    n = cells.n_linear + 1
    parameter = np.where(cells.parameter < 0, n - 1, cells.parameter)
    place = parameter[:, :, None] * n + parameter[:, None]
    sums = np.bincount(place.ravel(), owned.ravel(), n * n).reshape(n, n)
    return np.asarray(sums[:-1, :-1])


def _collected(cells: _Cells, features: Floats) -> Floats:
    """Sums by parameter of the features of each cell."""
    place = cells.parameter.ravel() + 1
    values = features[:, cells.feature].ravel()
    return np.asarray(np.bincount(place, values, cells.n_linear + 1)[1:])


def _missing_information(
    model: _Model, value: _Value, features: Floats, pull: Floats
) -> Floats:
    """Variance of the scores over candidates' posteriors: what not knowing them costs.

    Scores vary over a posterior only through the expected features of its design.
    """
    patterns, posterior = model.patterns, value.posterior
    weighted = patterns.weight[:, None] * posterior
    mean_pull = np.einsum("pq,pq->p", posterior, pull)
    n = model.observed.size
    missing = np.zeros((n + 1, n + 1))
    missing[-1, -1] = np.sum(weighted * (pull - mean_pull[:, None]) ** 2)
    mass = np.add.reduceat(weighted, patterns.first, axis=0)
    tilted = np.add.reduceat(
        weighted * (pull - mean_pull[:, None]), patterns.first, axis=0
    )
    linear = np.zeros(n * n)
    ends = np.append(patterns.first, patterns.design.size)
    for designs, slots in patterns.blocks:
        size = designs.stop - designs.start
        parameter = patterns.slot_parameter[slots].reshape(size, -1)
        sums = (patterns.slots[slots] @ features).reshape(*parameter.shape, -1)
        rows = slice(ends[designs.start], ends[designs.stop])
        own = patterns.design[rows] - designs.start
        mean = np.einsum("pwq,pq->pw", sums[own], posterior[rows])
        outer = (mean * patterns.weight[rows, None])[:, :, None] * mean[:, None]
        spread = (sums * mass[designs, None]) @ sums.transpose(0, 2, 1)
        spread -= np.add.reduceat(
            outer, patterns.first[designs] - ends[designs.start], axis=0
        )
        place = parameter[:, :, None] * n + parameter[:, None]
        linear += np.bincount(place.ravel(), spread.ravel(), n * n)
        with_pull = np.einsum("dwq,dq->dw", sums, tilted[designs])
        missing[-1, :-1] += np.bincount(parameter.ravel(), with_pull.ravel(), n)
    missing[:-1, :-1] = linear.reshape(n, n)
    missing[:-1, -1] = missing[-1, :-1]
    return missing


def _highest(model: _Model, at: Floats, kept: Booleans) -> _Found | None:
    """Newton's steps to the maximum, on nodes fine enough wherever they lead.

    Where the observed information is not positive definite, that with candidates known
    takes its place; it always leads uphill.
    """
    value = _value(model, at, _nodes(model, at))
    for _ in range(_STEPS):
        gradient, complete, observed = _slopes(model, value)
        covariance = _inverse(model, observed)
        metric = _inverse(model, complete) if covariance is None else covariance
        if metric is None:
            return None
        step = metric @ gradient
        if covariance is not None and gradient @ step < _SETTLED:
            return _at_top(model, at, value, covariance, kept)
        if observed[-1, -1] < 0:
            # No spread of candidates is a saddle here, which short steps hardly leave.
            step[-1] = np.copysign(max(_KICK, abs(step[-1])), gradient[-1])
        step /= max(1.0, float(np.abs(step).max()) / _LONGEST)
        onward, value = _uphill(model, at, step, value, float(gradient @ step))
        if onward is at or np.abs(onward).max() > _INFINITE:
            return None
        at = onward
        nodes = _nodes(model, at)
        if nodes.size > value.nodes.size:
            value = _value(model, at, nodes)
    return None


def _at_top(
    model: _Model, at: Floats, value: _Value, covariance: Floats, kept: Booleans
) -> _Found | None:
    """The maximum, or None where it is a ridge that runs to infinity."""
    if np.diagonal(covariance).max() > _INFINITE**2:
        return None
    if abs(at[-1]) < _NO_SPREAD:
        at = np.append(at[:-1], 0.0)
        value = _value(model, at, value.nodes)
    return _Found(model, at, value, covariance, kept)


def _uphill(
    model: _Model, at: Floats, step: Floats, value: _Value, slope: float
) -> tuple[Floats, _Value]:
    """The point one step on, or less where that would not lead up enough."""
    rounding = 1e-12 * (1 + abs(value.log_likelihood))
    for halving in range(40):
        share = 1 / 2**halving
        onward = at + share * step
        found = _value(model, onward, value.nodes)
        gain = found.log_likelihood - value.log_likelihood
        if gain >= 1e-4 * share * slope - rounding:
            return onward, found
    return at, value


def _inverse(model: _Model, information: Floats) -> Floats | None:
    """Inverse under the constraints, or None where it is not positive definite."""
    scale = float(np.mean(np.diagonal(information)))
    bound = information + scale * model.constraint @ model.constraint.T
    try:
        factor = cho_factor(bound, lower=True)
    except LinAlgError:
        return None
    inverse = cho_solve(factor, np.eye(len(bound)))
    return np.asarray(inverse - model.null @ model.null.T / scale)


def _result(ratings: _Ratings, found: _Found | None) -> ManyFacet:
    """Estimates by code, NaN for those left out."""
    if found is None:
        return _unknown(ratings)
    severity, severity_se, severity_set = _severities(found, ratings)
    difficulty, difficulty_se = _difficulties(found, ratings)
    threshold, threshold_cov = _thresholds(found, ratings)
    measure, measure_sd = _measures(found, ratings)
    items = slice(0, found.model.cells.items.size)
    deviation, error = abs(float(found.at[-1])), found.covariance[-1, -1]
    variance_se = 2 * deviation * float(np.sqrt(error)) if deviation else np.nan
    return ManyFacet(
        severity=severity,
        severity_se=severity_se,
        severity_set=severity_set,
        difficulty=difficulty,
        difficulty_se=difficulty_se,
        threshold=threshold,
        threshold_se=np.sqrt(np.diagonal(threshold_cov, axis1=1, axis2=2)),
        threshold_cov=threshold_cov,
        mean=-float(found.at[items].mean()),
        mean_se=float(np.sqrt(found.covariance[items, items].mean())),
        variance=deviation**2,
        variance_se=variance_se,
        measure=measure,
        measure_sd=measure_sd,
        log_likelihood=found.value.log_likelihood,
        n_ratings=ratings.score.size,
        n_parameters=found.at.size - found.model.constraint.shape[1],
        converged=True,
        boundary=deviation == 0,
        _ratings=ratings,
        _found=found,
    )


def _unknown(ratings: _Ratings) -> ManyFacet:
    """The answer where nothing is estimable."""
    by_interviewer = np.full(ratings.n_interviewers, np.nan)
    by_item = np.full(ratings.n_items, np.nan)
    steps = ratings.n_levels - 1
    by_step = np.full((ratings.n_scales, steps), np.nan)
    by_candidate = np.full(ratings.n_candidates, np.nan)
    return ManyFacet(
        severity=by_interviewer,
        severity_se=by_interviewer.copy(),
        severity_set=np.full(ratings.n_interviewers, -1, dtype=np.int64),
        difficulty=by_item,
        difficulty_se=by_item.copy(),
        threshold=by_step,
        threshold_se=by_step.copy(),
        threshold_cov=np.full((ratings.n_scales, steps, steps), np.nan),
        mean=np.nan,
        mean_se=np.nan,
        variance=np.nan,
        variance_se=np.nan,
        measure=by_candidate,
        measure_sd=by_candidate.copy(),
        log_likelihood=np.nan,
        n_ratings=ratings.score.size,
        n_parameters=0,
        converged=False,
        boundary=False,
        _ratings=ratings,
        _found=None,
    )


def _severities(found: _Found, ratings: _Ratings) -> tuple[Floats, Floats, Integers]:
    """Severities less the mean of their set, standard errors and sets, by code."""
    cells, size = found.model.cells, ratings.n_interviewers
    own = slice(cells.items.size, cells.items.size + cells.interviewers.size)
    sets = _comparable_sets(found.model)
    same = (sets[:, None] == sets).astype(np.float64)
    within = np.eye(sets.size) - same / same.sum(axis=1, keepdims=True)
    severity, error = _contrast(within, found.at[own], found.covariance[own, own])
    is_alone = same.sum(axis=1) < 2
    severity[is_alone] = error[is_alone] = np.nan
    set_codes = np.full(size, -1, dtype=np.int64)
    set_codes[cells.interviewers[~is_alone]] = _places(sets[~is_alone])[1]
    return (
        _spread_out(cells.interviewers, severity, size),
        _spread_out(cells.interviewers, error, size),
        set_codes,
    )


def _difficulties(found: _Found, ratings: _Ratings) -> tuple[Floats, Floats]:
    """Difficulties less their mean and standard errors, by code."""
    items = found.model.cells.items
    own = slice(0, items.size)
    centred = np.eye(items.size) - 1 / items.size
    difficulty, error = _contrast(centred, found.at[own], found.covariance[own, own])
    return (
        _spread_out(items, difficulty, ratings.n_items),
        _spread_out(items, error, ratings.n_items),
    )


def _comparable_sets(model: _Model) -> Integers:
    """Set of each interviewer, numbered in order.

    With candidates as unknown constants, severities of two interviewers can be compared
    if no shift that leaves every rating's expectation alone moves them apart.
    """
    cells, counts = model.cells, model.patterns.counts
    n_items, n = cells.items.size, cells.items.size + cells.interviewers.size
    cell = np.arange(cells.item.size)
    elements = _table(
        np.tile(cell, 2),
        np.concatenate([cells.item, n_items + cells.interviewer]),
        (cell.size, n),
    )
    by_design = counts @ elements
    times = np.asarray(counts.sum(axis=0)).ravel()
    size = np.asarray(counts.sum(axis=1)).ravel()
    gram = (elements.T @ sp.diags_array(times) @ elements).toarray()
    root = np.sqrt(np.diagonal(gram)).copy()
    gram -= (by_design.T @ sp.diags_array(1 / size) @ by_design).toarray()
    share, direction = np.linalg.eigh(gram / np.outer(root, root))
    shift = (direction / root[:, None])[n_items:, share < _NULL]
    # Shifts that move both alike leave no difference between their rows.
    inner = shift @ shift.T
    own = np.diagonal(inner)
    apart = own[:, None] + own - 2 * inner
    is_linked = apart < _SAME * (own[:, None] + own)
    _, sets = connected_components(sp.csr_matrix(is_linked), directed=False)
    return sets.astype(np.int64)


def _contrast(
    matrix: Floats, values: Floats, covariance: Floats
) -> tuple[Floats, Floats]:
    """Linear combinations and their standard errors."""
    variance = np.einsum("ij,jk,ik->i", matrix, covariance, matrix, optimize=True)
    return matrix @ values, np.sqrt(np.clip(variance, 0, None))


def _spread_out(codes: Integers, values: Floats, size: int) -> Floats:
    """Values at their codes, NaN elsewhere."""
    spread = np.full((size, *values.shape[1:]), np.nan)
    spread[codes] = values
    return spread


def _thresholds(found: _Found, ratings: _Ratings) -> tuple[Floats, Floats]:
    """Thresholds by scale and their covariance; NaN beside a level not used."""
    cells = found.model.cells
    n_scales, n_levels = cells.free.shape
    level = np.zeros((n_scales, n_levels, found.at.size))
    scale, column = np.nonzero(cells.free >= 0)
    level[scale, column, cells.free[scale, column]] = 1.0
    steps = np.diff(level, axis=1)
    is_used = cells.n_at_level > 0
    is_known = is_used[:, 1:] & is_used[:, :-1]
    threshold = np.where(is_known, steps @ found.at, np.nan)
    cov = steps @ found.covariance @ steps.transpose(0, 2, 1)
    cov[~(is_known[:, :, None] & is_known[:, None])] = np.nan
    codes = _scale_codes(cells, ratings)
    return (
        _spread_out(codes, threshold, ratings.n_scales),
        _spread_out(codes, cov, ratings.n_scales),
    )


def _measures(found: _Found, ratings: _Ratings) -> tuple[Floats, Floats]:
    """Posterior mean and standard deviation by candidate code."""
    cells, value, deviation = found.model.cells, found.value, found.at[-1]
    place = value.posterior @ value.nodes
    spread = value.posterior @ value.nodes**2 - place**2
    centre = -found.at[: cells.items.size].mean()
    measure = centre + deviation * place
    sd = abs(deviation) * np.sqrt(np.clip(spread, 0, None))
    of_candidate = found.model.patterns.of_candidate
    size = ratings.n_candidates
    return (
        _spread_out(cells.candidates, measure[of_candidate], size),
        _spread_out(cells.candidates, sd[of_candidate], size),
    )


def _residuals(found: _Found, ratings: _Ratings) -> _Residuals:
    """Squared residuals averaged over posteriors, summed by cell and level."""
    cells, value = found.model.cells, found.value
    probability, expected = value.probability, value.expected
    n_cells, n_levels, n_nodes = probability.shape
    score = ratings.score[found.kept]
    pattern = found.model.patterns.of_candidate[cells.row]
    shape = n_cells * n_levels, len(value.posterior)
    where = _table(cells.of_rating * n_levels + score, pattern, shape)
    mass = (where @ value.posterior).reshape(n_cells, n_levels, n_nodes)
    level = np.arange(n_levels)[:, None]
    squared = mass * (level - expected[:, None]) ** 2
    variance = _variance(probability, expected)[:, None]
    n = mass.sum(axis=2)
    located = _locations(cells, found.at)[:, None]
    return _Residuals(
        n=n,
        squared=squared.sum(axis=2),
        variance=(mass * variance).sum(axis=2),
        standardised=(squared / variance).sum(axis=2),
        measure=found.at[-1] * (mass @ value.nodes) - n * located,
    )


def _fit_of(found: _Found | None, ratings: _Ratings) -> Fit:
    """Mean squares of both facets; NaN without a maximum."""
    if found is None:
        return Fit(
            _no_mean_squares(ratings.n_interviewers), _no_mean_squares(ratings.n_items)
        )
    residual, cells = _residuals(found, ratings), found.model.cells
    return Fit(
        interviewer=_mean_squares(
            residual, cells.interviewers[cells.interviewer], ratings.n_interviewers
        ),
        item=_mean_squares(residual, cells.items[cells.item], ratings.n_items),
    )


def _mean_squares(residual: _Residuals, code: Integers, size: int) -> MeanSquares:
    """Mean squares of the cells that belong to each code."""

    def summed(values: Floats) -> Floats:
        return np.asarray(np.bincount(code, values.sum(axis=1), size))

    n = summed(residual.n)
    with np.errstate(invalid="ignore"):
        infit = summed(residual.squared) / summed(residual.variance)
        outfit = summed(residual.standardised) / n
    return MeanSquares(np.rint(n).astype(np.int64), infit, outfit)


def _no_mean_squares(size: int) -> MeanSquares:
    """Mean squares of nothing."""
    return MeanSquares(
        np.zeros(size, dtype=np.int64), np.full(size, np.nan), np.full(size, np.nan)
    )


def _by_level(found: _Found, ratings: _Ratings) -> tuple[Floats, Floats]:
    """Average measure and outfit by scale and level."""
    cells, residual = found.model.cells, _residuals(found, ratings)
    n_cells = cells.scale.size
    member = _table(cells.scale, np.arange(n_cells), (len(cells.free), n_cells))
    n = member @ residual.n
    with np.errstate(invalid="ignore"):
        measure, outfit = (
            member @ residual.measure / n,
            member @ residual.standardised / n,
        )
    codes = _scale_codes(cells, ratings)
    return (
        _spread_out(codes, measure, ratings.n_scales),
        _spread_out(codes, outfit, ratings.n_scales),
    )


def _increasing(measure: Floats) -> Booleans:
    """Whether each known value is above the one before it."""
    before = np.fmax.accumulate(measure, axis=1)[:, :-1]
    with np.errstate(invalid="ignore"):
        return np.asarray(~(measure[:, 1:] <= before).any(axis=1))


def _simulated(found: _Found, ratings: _Ratings, rng: np.random.Generator) -> _Ratings:
    """Ratings by the same interviewers of new candidates drawn from the model."""
    cells, at = found.model.cells, found.at
    candidate = at[-1] * rng.standard_normal(cells.candidates.size)
    level = np.arange(ratings.n_levels)
    place = candidate[cells.row] - _locations(cells, at)[cells.of_rating]
    terms = _level_terms(cells, at)[cells.scale[cells.of_rating]]
    chance = np.exp(level * place[:, None] - terms)
    cumulated = np.cumsum(chance, axis=1)
    drawn = rng.random((place.size, 1)) * cumulated[:, -1:]
    return replace(
        ratings,
        score=(drawn > cumulated).sum(axis=1),
        candidate=ratings.candidate[found.kept],
        item=ratings.item[found.kept],
        interviewer=ratings.interviewer[found.kept],
    )


def _limits(
    observed: MeanSquares, draws: list[MeanSquares], level: float
) -> MeanSquareLimits:
    """Order statistics of the draws and the observed values' ranks."""
    infit = np.array([draw.infit for draw in draws]).reshape(-1, observed.n.size)
    outfit = np.array([draw.outfit for draw in draws]).reshape(-1, observed.n.size)
    infit_low, infit_high = _bounds(infit, observed.infit, level)
    outfit_low, outfit_high = _bounds(outfit, observed.outfit, level)
    return MeanSquareLimits(
        infit_low=infit_low,
        infit_high=infit_high,
        infit_p=_rank_p(infit, observed.infit),
        outfit_low=outfit_low,
        outfit_high=outfit_high,
        outfit_p=_rank_p(outfit, observed.outfit),
    )


def _bounds(draws: Floats, observed: Floats, level: float) -> tuple[Floats, Floats]:
    """Values of rank (n + 1)·tail from either end of the known draws."""
    n = np.count_nonzero(~np.isnan(draws), axis=0)
    rank = np.floor((n + 1) * (1 - level) / 2 + 1e-9).astype(np.int64)
    padded = np.vstack([np.sort(draws, axis=0), np.full((1, n.size), np.nan)])
    column = np.arange(n.size)
    low = np.where(rank > 0, padded[rank - 1, column], -np.inf)
    high = np.where(rank > 0, padded[n - rank, column], np.inf)
    low[np.isnan(observed)] = np.nan
    high[np.isnan(observed)] = np.nan
    return low, high


def _rank_p(draws: Floats, observed: Floats) -> Floats:
    """Twice the smaller share at least as far out, the observed one counted."""
    n = np.count_nonzero(~np.isnan(draws), axis=0)
    beyond = np.minimum(
        (draws <= observed).sum(axis=0), (draws >= observed).sum(axis=0)
    )
    p = np.minimum(2 * (beyond + 1) / (n + 1), 1.0)
    return np.where(np.isnan(observed) | (n == 0), np.nan, p)


def _separation(n: int, true_variance: float, error: float) -> Separation:
    """Indices from the variance of the true measures and the mean squared error."""
    ratio = true_variance / error if true_variance else 0.0
    return Separation(
        n=n,
        true_sd=float(np.sqrt(true_variance)),
        rmse=float(np.sqrt(error)),
        separation=float(np.sqrt(ratio)),
        strata=float((4 * np.sqrt(ratio) + 1) / 3),
        reliability=ratio / (1 + ratio),
    )
