"""Selection rates of groups compared: ratios, exact tests, strata and bias audits.

Ratios compare a group with the reference group of its slice; p-values test it against
all others of the slice, because a test against the best of several observed groups
gives false alarms. A slice is one table, such as a stage in a year.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise
from scipy.special import chdtrc, gammaln, ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Words = NDArray[np.str_]

# A reference must be neither tiny nor under 2 % of the pool (UGESP section 4D).
REFERENCE_MIN = 20
REFERENCE_SHARE = 50
# Below five expected selections OFCCP's manual leaves the normal test for the exact.
EXPECTED_MIN = 5
# Probabilities this close in logarithm are equal, as in R's fisher.test.
EQUAL_LOG = 1e-7
# Table entries worked on at once: about 200 MB.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Counts:
    """Selected and entered of the comparison side of each row."""

    selected: Integers
    entered: Integers


@dataclass(frozen=True)
class Reference:
    """Reference group of each row's slice.

    Attributes
    ----------
    row : ndarray of int
        Row of the reference group; -1 where no group of the slice is large enough.
    selected, entered : ndarray of int
        Its counts; 0 where there is none.
    """

    row: Integers
    selected: Integers
    entered: Integers


@dataclass(frozen=True)
class ImpactRatio:
    """Selection rate over the reference's, with what is judged by it.

    Attributes
    ----------
    estimate, low, high : ndarray
        Ratio and interval; NaN where a side is empty or nobody was selected at all,
        infinite where only the reference selected nobody.
    is_score : ndarray of bool
        Whether the interval is Koopman's, used where a cell is zero, not Katz's.
    is_below_four_fifths : ndarray of bool
        Ratio under 4/5, decided in whole numbers.
    flips_with_one : ndarray of bool
        The group trails, and one selection moved from the reference to the group
        would put it ahead.
    cohen_h : ndarray
        Difference of arcsine-transformed rates; negative when the group trails.
    """

    estimate: Floats
    low: Floats
    high: Floats
    is_score: Booleans
    is_below_four_fifths: Booleans
    flips_with_one: Booleans
    cohen_h: Floats


@dataclass(frozen=True)
class SelectionTests:
    """Tests of a group against all others; negative signs mean that it trails.

    Attributes
    ----------
    fisher_p, mid_p : ndarray
        Two-sided exact p-values; NaN where a side is empty.
    z_hyper : ndarray
        Excess of selections in hypergeometric standard deviations; NaN where all or
        none were selected.
    sd_units : ndarray
        The same with the pooled binomial variance: the "standard deviations" of
        enforcement practice.
    phi : ndarray
        `sd_units` over the root of the number of cases.
    shortfall : ndarray
        Selections missing to the pooled rate; negative when there are more.
    """

    fisher_p: Floats
    mid_p: Floats
    z_hyper: Floats
    sd_units: Floats
    phi: Floats
    shortfall: Floats


@dataclass(frozen=True)
class StratifiedImpact:
    """Group against reference within strata, by slice.

    Attributes
    ----------
    n_strata : ndarray of int
        Strata where both sides have cases; only these count below.
    odds_ratio, or_low, or_high, rate_ratio, rr_low, rr_high : ndarray
        Mantel–Haenszel estimates and intervals; NaN where not estimable.
    chi_square, p : ndarray
        Mantel–Haenszel test of no association.
    breslow_day, tarone, homogeneity_p : ndarray
        Equality of odds ratios over strata; the p-value is that of Tarone's form.
    standardised_rate, reference_standardised_rate : ndarray
        Rates if both had the pooled mix of strata.
    crude_ratio : ndarray
        Ratio over all strata thrown together.
    is_simpson : ndarray of bool
        Crude and adjusted ratios lie on opposite sides of 1.
    shortfall : ndarray
        Selections missing to the pooled rates of the strata; negative when there are
        more, NaN without a stratum.
    z_hyper : ndarray
        Excess of selections in hypergeometric standard deviations, negative when the
        group trails; its square is the chi-square without continuity correction.
    """

    n_strata: Integers
    odds_ratio: Floats
    or_low: Floats
    or_high: Floats
    rate_ratio: Floats
    rr_low: Floats
    rr_high: Floats
    chi_square: Floats
    p: Floats
    breslow_day: Floats
    tarone: Floats
    homogeneity_p: Floats
    standardised_rate: Floats
    reference_standardised_rate: Floats
    crude_ratio: Floats
    is_simpson: Booleans
    shortfall: Floats
    z_hyper: Floats


@dataclass(frozen=True)
class ConditionalOdds:
    """Group against reference within strata, exactly, by slice.

    Attributes
    ----------
    n_strata : ndarray of int
        Strata where both sides have cases and some but not all were selected; the
        others say nothing about the odds ratio.
    p, mid_p : ndarray
        Two-sided exact p-values of "the odds ratio is 1 in every stratum"; 1 where no
        stratum says anything, NaN where no stratum has cases on both sides.
    odds_ratio : ndarray
        Conditional maximum likelihood estimate; 0 or infinite where the group has the
        fewest or the most selections the margins allow, NaN without information.
    low, high : ndarray
        Its interval; 0 below an estimate of 0, infinite above an infinite one.
    """

    n_strata: Integers
    p: Floats
    mid_p: Floats
    odds_ratio: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class AuditTable:
    """One table of a bias audit, a row per category.

    Attributes
    ----------
    n, n_selected : ndarray of int
        People assessed, and those selected or scored above the median.
    rate : ndarray
        Selection or scoring rate; NaN where nobody was assessed.
    impact_ratio : ndarray
        Rate over the highest rate of the table; NaN where `reason` is not empty.
    reason : ndarray of str
        Why a category has no ratio: "below_min_share", "nobody_assessed", or
        "nobody_selected" where no category of the table has a selection; else empty.
    reference : int
        Row of the category with the highest rate, the first of equals; -1 where there
        is none.
    n_unknown : int
        People assessed who are not in the table because their category is unknown.
    """

    n: Integers
    n_selected: Integers
    rate: Floats
    impact_ratio: Floats
    reason: Words
    reference: int
    n_unknown: int


@dataclass(frozen=True)
class BiasAudit:
    """The three tables of a bias audit, each with a reference category of its own.

    Attributes
    ----------
    sex, race : AuditTable
        Rows by code.
    intersection : AuditTable
        Row sex × n_race + race.
    median : float
        Median score of everybody scored; NaN for an audit of selections.
    """

    sex: AuditTable
    race: AuditTable
    intersection: AuditTable
    median: float


def reference_groups(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    slice_code: ArrayLike,
    min_expected: float = 0.0,
) -> Reference:
    """Return the reference group of each row: the highest rate among groups of size.

    A group is large enough with 20 cases and 2 % of its slice; ties go to the larger
    group, then to the earlier row. A group too small for comparisons goes last, since
    as the reference it would leave every other one without any.

    Parameters
    ----------
    selected, entered : array_like of int, shape (n_rows,)
        Counts, one row per group of a slice.
    slice_code : array_like of int, shape (n_rows,)
        Code from 0 of the slice each row belongs to.
    min_expected : float
        Selections a group must expect at the rate of its slice; where no group of a
        slice does, the highest rate stands.

    Returns
    -------
    Reference
        By row; the reference group is its own reference.

    Raises
    ------
    ValueError
        If a count or code is negative or more were selected than entered.

    References
    ----------
    UGESP section 4D, 29 CFR 1607.4(D).
    """
    hired, pool = _counts(selected, entered)
    codes = _codes(slice_code, hired)
    size = _sums(pool, codes)
    is_eligible = (pool >= REFERENCE_MIN) & (REFERENCE_SHARE * pool >= size[codes])
    rows = np.flatnonzero(is_eligible)
    rate = hired[rows] / pool[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = pool * (_sums(hired, codes) / size)[codes]
    is_thin = expected[rows] < min_expected
    rows = rows[np.lexsort((rows, -pool[rows], -rate, is_thin, codes[rows]))]
    held, first = np.unique(codes[rows], return_index=True)
    best = np.full(size.size, -1, dtype=np.int64)
    best[held] = rows[first]
    row = best[codes]
    found = row >= 0
    return Reference(row, np.where(found, hired[row], 0), np.where(found, pool[row], 0))


def all_others(
    selected: ArrayLike, entered: ArrayLike, *, slice_code: ArrayLike
) -> Counts:
    """Return the counts of all other groups of each row's slice.

    Parameters
    ----------
    selected, entered, slice_code
        As for `reference_groups`.

    Returns
    -------
    Counts
        Of shape (n_rows,).

    Raises
    ------
    ValueError
        If a count or code is negative or more were selected than entered.
    """
    hired, pool = _counts(selected, entered)
    codes = _codes(slice_code, hired)
    return Counts(_sums(hired, codes)[codes] - hired, _sums(pool, codes)[codes] - pool)


def impact_ratio(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    reference_selected: ArrayLike,
    reference_entered: ArrayLike,
    level: float = 0.95,
) -> ImpactRatio:
    """Return the ratio of selection rates with its interval and the 4/5 judgement.

    Parameters
    ----------
    selected, entered, reference_selected, reference_entered : array_like of int
        Counts of the group and of its reference; any shapes that broadcast. For a
        reference compared with itself the ratio is 1 and the interval means nothing.
    level : float
        Coverage of the interval.

    Returns
    -------
    ImpactRatio
        Arrays of the common shape.

    Raises
    ------
    ValueError
        If a count is negative, not whole, or more were selected than entered.

    References
    ----------
    Katz et al. (1978), Biometrics 34, 469-474; Koopman (1984), Biometrics 40,
    513-517; UGESP 29 CFR 1607.4(D) and Questions and Answers 11 and 21, 44 FR 11996
    (1979); Cohen (1988), Statistical Power Analysis, 6.2.
    """
    s, n, s_ref, n_ref = _tables(
        selected, entered, reference_selected, reference_entered
    )
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = (s / n) / (s_ref / n_ref)
        half = z * np.sqrt(1 / s - 1 / n + 1 / s_ref - 1 / n_ref)
        low, high = estimate * np.exp(-half), estimate * np.exp(half)
        cohen_h = 2 * (np.arcsin(np.sqrt(s / n)) - np.arcsin(np.sqrt(s_ref / n_ref)))
    is_score = ((s == 0) | (s == n) | (s_ref == 0) | (s_ref == n_ref)) & (
        (n > 0) & (n_ref > 0) & (s + s_ref > 0)
    )
    low[is_score], high[is_score] = _koopman(
        *(counts[is_score] for counts in (s, n, s_ref, n_ref)), z=z
    )
    is_trailing = s * n_ref < s_ref * n
    return ImpactRatio(
        estimate,
        low,
        high,
        is_score,
        is_below_four_fifths=5 * s * n_ref < 4 * s_ref * n,
        flips_with_one=is_trailing & ((s + 1) * n_ref > (s_ref - 1) * n),
        cohen_h=cohen_h,
    )


def selection_tests(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    other_selected: ArrayLike,
    other_entered: ArrayLike,
) -> SelectionTests:
    """Return exact and normal tests of each group's rate against the others'.

    Parameters
    ----------
    selected, entered, other_selected, other_entered : array_like of int
        Counts of the group and of those it is tested against; any shapes that
        broadcast.

    Returns
    -------
    SelectionTests
        Arrays of the common shape.

    Raises
    ------
    ValueError
        If a count is negative, not whole, or more were selected than entered.

    References
    ----------
    Fisher's two-sided p sums tables no more probable than the observed one (Agresti
    2013, Categorical Data Analysis, 3.5.1); mid-p is twice the smaller one-sided mid-p
    (Rothman et al. 2008, Modern Epidemiology, ch. 8); z as in Hazelwood School
    District v. United States, 433 U.S. 299, n. 14 (1977).
    """
    s, n, s_other, n_other = _tables(selected, entered, other_selected, other_entered)
    fisher_p, mid_p = _exact_p(s, n, s_other, n_other)
    total, pool = s + s_other, n + n_other
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled: Floats = total / pool
        shortfall: Floats = n * pooled - s
        variance = n * (n_other / pool) * pooled * (1 - pooled)
        variance = np.where(variance > 0, variance, np.nan)
        sd_units = -shortfall / np.sqrt(variance)
        z_hyper = sd_units * np.sqrt((pool - 1) / pool)
        phi = sd_units / np.sqrt(pool)
    return SelectionTests(fisher_p, mid_p, z_hyper, sd_units, phi, shortfall)


def mantel_haenszel(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    reference_selected: ArrayLike,
    reference_entered: ArrayLike,
    slice_code: ArrayLike,
    n_slices: int | None = None,
    continuity: float = 0.0,
    level: float = 0.95,
) -> StratifiedImpact:
    """Return group against reference, adjusted for the strata of each slice.

    Parameters
    ----------
    selected, entered, reference_selected, reference_entered : array_like of int
        Counts of both sides, shape (n_rows,): one row per stratum of a slice.
    slice_code : array_like of int, shape (n_rows,)
        Code from 0 of the slice each stratum belongs to.
    n_slices : int, optional
        Length of the answer; one more than the largest code when left out.
    continuity : float
        Taken off the excess before the chi-square is formed; R takes off 0.5.
    level : float
        Coverage of the intervals.

    Returns
    -------
    StratifiedImpact
        Arrays of shape (n_slices,).

    Raises
    ------
    ValueError
        If a count or code is negative or more were selected than entered.

    References
    ----------
    Mantel & Haenszel (1959), JNCI 22, 719-748; intervals: Robins, Breslow & Greenland
    (1986), Biometrics 42, 311-323, and Greenland & Robins (1985), Biometrics 41,
    55-68; Breslow & Day (1980), IARC 32, 4.4; Tarone (1985), Biometrika 72, 91-95.
    """
    s, n, s_ref, n_ref = _tables(
        selected, entered, reference_selected, reference_entered
    )
    codes = _codes(slice_code, s)
    size = _n_slices(codes, n_slices)
    crude_ratio = impact_ratio(
        _sums(s, codes, size),
        _sums(n, codes, size),
        reference_selected=_sums(s_ref, codes, size),
        reference_entered=_sums(n_ref, codes, size),
    ).estimate
    strata = _two_sided(s, n, s_ref, n_ref, codes, size)
    z = float(ndtri(0.5 + level / 2))
    odds_ratio, or_low, or_high = _odds_ratio(strata, z)
    rate_ratio, rr_low, rr_high = _rate_ratio(strata, z)
    chi_square = _chi_square(strata, continuity)
    excess, variance = _excess(strata)
    breslow_day, tarone, homogeneity_p = _homogeneity(strata, odds_ratio)
    with np.errstate(divide="ignore", invalid="ignore"):
        z_hyper = np.where(variance > 0, excess / np.sqrt(variance), np.nan)
        is_simpson = (crude_ratio - 1) * (rate_ratio - 1) < 0
        mix = strata.sum(strata.pool)
        own = strata.sum(strata.s / strata.n * strata.pool) / mix
        other = strata.sum(strata.s_ref / strata.n_ref * strata.pool) / mix
    n_strata = np.bincount(strata.codes, minlength=size)
    return StratifiedImpact(
        n_strata=n_strata,
        odds_ratio=odds_ratio,
        or_low=or_low,
        or_high=or_high,
        rate_ratio=rate_ratio,
        rr_low=rr_low,
        rr_high=rr_high,
        chi_square=chi_square,
        p=chdtrc(1, chi_square),
        breslow_day=breslow_day,
        tarone=tarone,
        homogeneity_p=homogeneity_p,
        standardised_rate=own,
        reference_standardised_rate=other,
        crude_ratio=crude_ratio,
        is_simpson=is_simpson,
        shortfall=np.where(n_strata > 0, -excess, np.nan),
        z_hyper=z_hyper,
    )


def exact_mantel_haenszel(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    reference_selected: ArrayLike,
    reference_entered: ArrayLike,
    slice_code: ArrayLike,
    n_slices: int | None = None,
    interval: Literal["exact", "mid-p"] = "exact",
    level: float = 0.95,
) -> ConditionalOdds:
    """Return the exact conditional comparison over the strata of each slice.

    Given all margins, the selections of the group are a sum of hypergeometric
    variables, whose distribution is found by multiplying out their generating
    polynomials: no approximation, so any number of strata may be as small as one case
    on each side. The work grows with the product of the stratum sizes; with hundreds
    selected in a stratum `mantel_haenszel` says the same in less time.

    Parameters
    ----------
    selected, entered, reference_selected, reference_entered : array_like of int
        Counts of both sides, shape (n_rows,): one row per stratum of a slice.
    slice_code : array_like of int, shape (n_rows,)
        Code from 0 of the slice each stratum belongs to.
    n_slices : int, optional
        Length of the answer; one more than the largest code when left out.
    interval : {"exact", "mid-p"}
        Whether the observed table counts in full in each tail, as in R, or by half.
    level : float
        Coverage of the interval.

    Returns
    -------
    ConditionalOdds
        Arrays of shape (n_slices,). With one stratum p is that of Fisher's test.

    Raises
    ------
    ValueError
        If a count or code is negative, more were selected than entered, or `interval`
        is neither word.

    References
    ----------
    Gart (1970), Biometrika 57, 471-475; Mehta, Patel & Gray (1985), JASA 80, 969-973.
    The two-sided p is that of R's mantelhaen.test(exact = TRUE), mid-p that of
    `selection_tests`.
    """
    if interval not in ("exact", "mid-p"):
        raise ValueError(f"interval must be 'exact' or 'mid-p', got {interval!r}")
    s, n, s_ref, n_ref = _tables(
        selected, entered, reference_selected, reference_entered
    )
    codes = _codes(slice_code, s)
    size = _n_slices(codes, n_slices)
    strata = _two_sided(s, n, s_ref, n_ref, codes, size)
    p = np.where(np.bincount(strata.codes, minlength=size) > 0, 1.0, np.nan)
    result = ConditionalOdds(
        np.zeros(size, dtype=np.int64), p, p.copy(), *np.full((3, size), np.nan)
    )
    tail, share = (1 - level) / 2, 1.0 if interval == "exact" else 0.5
    for rows, sums in _conditional_sums(strata):
        result.n_strata[rows] = sums.n_strata
        result.p[rows], result.mid_p[rows] = sums.p_values()
        result.odds_ratio[rows] = sums.odds_ratio()
        result.low[rows], result.high[rows] = sums.bounds(tail, share)
    return result


def selection_audit(
    selected: ArrayLike,
    *,
    sex: ArrayLike,
    race: ArrayLike,
    n_sex: int | None = None,
    n_race: int | None = None,
    min_share: float = 0.02,
) -> BiasAudit:
    """Return selection rates and impact ratios as New York's bias audit asks for them.

    Parameters
    ----------
    selected : array_like of bool, shape (n_people,)
        Whether each person assessed was moved forward.
    sex, race : array_like of int, shape (n_people,)
        Codes from 0; negative where the category is unknown. Each table has everybody
        whose category it needs is known, and counts the others.
    n_sex, n_race : int, optional
        Numbers of categories; one more than the largest codes when left out.
    min_share : float
        A category with a smaller share of its table is listed without a ratio and is
        no reference; 0 keeps all.

    Returns
    -------
    BiasAudit
        Tables by sex, by race or ethnicity, and by both.

    Raises
    ------
    ValueError
        If the arrays differ in length or a code is not below its number of categories.

    References
    ----------
    6 RCNY 5-300 and 5-301 (b) and (d).
    """
    is_selected = np.asarray(selected, dtype=np.bool_)
    return _audit(is_selected, sex, race, n_sex, n_race, min_share, np.nan)


def scoring_audit(
    score: ArrayLike,
    *,
    sex: ArrayLike,
    race: ArrayLike,
    n_sex: int | None = None,
    n_race: int | None = None,
    min_share: float = 0.02,
) -> BiasAudit:
    """Return scoring rates and impact ratios as New York's bias audit asks for them.

    The scoring rate is the share of a category scored above the median of the full
    sample, people of unknown category included.

    Parameters
    ----------
    score : array_like of float, shape (n_people,)
        Score of each person; NaN was not scored and is left out everywhere.
    sex, race, n_sex, n_race, min_share
        As for `selection_audit`.

    Returns
    -------
    BiasAudit
        Tables by sex, by race or ethnicity, and by both.

    Raises
    ------
    ValueError
        If the arrays differ in length or a code is not below its number of categories.

    References
    ----------
    6 RCNY 5-300 and 5-301 (c) and (d).
    """
    scores = np.asarray(score, dtype=np.float64)
    known = ~np.isnan(scores)
    median = float(np.median(scores[known])) if known.any() else np.nan
    return _audit(scores > median, sex, race, n_sex, n_race, min_share, median, known)


def min_detectable_ratio(
    entered: ArrayLike,
    *,
    reference_selected: ArrayLike,
    reference_entered: ArrayLike,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Floats:
    """Return the largest ratio below 1 that a two-sided test would find this often.

    Parameters
    ----------
    entered, reference_selected, reference_entered : array_like of int
        Size of the group and counts of its reference; any shapes that broadcast.
    power, alpha : float
        Chance of finding the ratio, and level of the test.

    Returns
    -------
    ndarray
        NaN where even a group of whom nobody is selected would not be found.

    Raises
    ------
    ValueError
        If a count is negative, not whole, or more were selected than entered.

    References
    ----------
    Fleiss, Levin & Paik (2003), Statistical Methods for Rates and Proportions, 4.3,
    without continuity correction.
    """
    _, n, s_ref, n_ref = _tables(0, entered, reference_selected, reference_entered)
    z_test, z_power = float(ndtri(1 - alpha / 2)), float(ndtri(power))

    def margin(rate: Floats, base: Floats, n: Floats, n_ref: Floats) -> Floats:
        pooled = (n * rate + n_ref * base) / (n + n_ref)
        null = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n_ref))
        true = np.sqrt(rate * (1 - rate) / n + base * (1 - base) / n_ref)
        result: Floats = base - rate - z_test * null - z_power * true
        return result

    ratio = np.full(n.shape, np.nan)
    usable = (n > 0) & (s_ref > 0)
    base = s_ref[usable] / n_ref[usable]
    sizes = n[usable].astype(np.float64), n_ref[usable].astype(np.float64)
    usable[usable] = margin(np.zeros_like(base), base, *sizes) > 0
    if usable.any():
        base = s_ref[usable] / n_ref[usable]
        sizes = n[usable].astype(np.float64), n_ref[usable].astype(np.float64)
        # Equal rates solve the equation too when everybody is selected.
        bracket = np.zeros_like(base), base * (1 - 1e-9)
        root = elementwise.find_root(margin, bracket, args=(base, *sizes))
        ratio[usable] = root.x / base
    return ratio


def evidence(
    selected: ArrayLike,
    entered: ArrayLike,
    *,
    reference_selected: ArrayLike,
    reference_entered: ArrayLike,
    other_selected: ArrayLike,
    other_entered: ArrayLike,
    q: ArrayLike,
    alpha: float = 0.05,
) -> NDArray[np.str_]:
    """Return what each row's ratio and test together call for.

    `insufficient`: fewer than 20 cases or 5 expected selections in the group or its
    reference. `review`: ratio under 4/5, q below alpha, and one selection would not
    reverse it. `watch_ratio`: under 4/5 otherwise. `watch_significance`: q below alpha
    only. `none`. Significance counts only against a group that trails all others.

    Parameters
    ----------
    selected, entered : array_like of int
        Counts of the group; any shapes that broadcast with the rest.
    reference_selected, reference_entered, other_selected, other_entered
        Counts of the reference group and of all others of the slice.
    q : array_like
        Q-value of the group's test against all others; NaN is not significant.
    alpha : float
        Level q is held to.

    Returns
    -------
    ndarray of str
        One word per row.

    Raises
    ------
    ValueError
        If a count is negative, not whole, or more were selected than entered.

    References
    ----------
    UGESP 29 CFR 1607.4(D); Center for Corporate Equality (2010), Technical Advisory
    Committee Report on Best Practices in Adverse Impact Analyses.
    """
    s, n, s_ref, n_ref = _tables(
        selected, entered, reference_selected, reference_entered
    )
    s, n, s_other, n_other = _tables(s, n, other_selected, other_entered)
    ratio = impact_ratio(s, n, reference_selected=s_ref, reference_entered=n_ref)
    smaller = np.minimum(n, n_ref)
    is_small = (smaller < REFERENCE_MIN) | (
        smaller * (s + s_other) < EXPECTED_MIN * (n + n_other)
    )
    is_significant = (np.asarray(q) < alpha) & (s * n_other < s_other * n)
    is_low = ratio.is_below_four_fifths
    return np.select(
        [
            is_small,
            is_low & is_significant & ~ratio.flips_with_one,
            is_low,
            is_significant,
        ],
        ["insufficient", "review", "watch_ratio", "watch_significance"],
        "none",
    )


@dataclass(frozen=True)
class _Strata:
    """Strata where both sides have cases."""

    s: Floats
    n: Floats
    s_ref: Floats
    n_ref: Floats
    codes: Integers
    size: int

    @property
    def pool(self) -> Floats:
        return self.n + self.n_ref

    @property
    def total(self) -> Floats:
        return self.s + self.s_ref

    def sum(self, values: Floats) -> Floats:
        """Sum of the strata of each slice."""
        return np.bincount(self.codes, values, self.size).astype(np.float64)


def _two_sided(
    s: Integers,
    n: Integers,
    s_ref: Integers,
    n_ref: Integers,
    codes: Integers,
    size: int,
) -> _Strata:
    """Strata where both sides have cases."""
    kept = (n > 0) & (n_ref > 0)
    s_kept, n_kept, s_ref_kept, n_ref_kept = (
        counts[kept].astype(np.float64) for counts in (s, n, s_ref, n_ref)
    )
    return _Strata(s_kept, n_kept, s_ref_kept, n_ref_kept, codes[kept], size)


def _odds_ratio(strata: _Strata, z: float) -> tuple[Floats, Floats, Floats]:
    """Mantel–Haenszel odds ratio with the Robins–Breslow–Greenland interval."""
    not_s, not_ref = strata.n - strata.s, strata.n_ref - strata.s_ref
    agree, cross = strata.s * not_ref / strata.pool, strata.s_ref * not_s / strata.pool
    share = (strata.s + not_ref) / strata.pool
    r, t = strata.sum(agree), strata.sum(cross)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            strata.sum(share * agree) / (2 * r**2)
            + strata.sum(share * cross + (1 - share) * agree) / (2 * r * t)
            + strata.sum((1 - share) * cross) / (2 * t**2)
        )
        return _log_interval(r / t, variance, z)


def _rate_ratio(strata: _Strata, z: float) -> tuple[Floats, Floats, Floats]:
    """Mantel–Haenszel ratio of rates with the Greenland–Robins interval."""
    s, n, s_ref, n_ref, pool = (
        strata.s,
        strata.n,
        strata.s_ref,
        strata.n_ref,
        strata.pool,
    )
    r, t = strata.sum(s * n_ref / pool), strata.sum(s_ref * n / pool)
    spread = (n * n_ref * strata.total - s * s_ref * pool) / pool**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return _log_interval(r / t, strata.sum(spread) / (r * t), z)


def _log_interval(
    estimate: Floats, variance: Floats, z: float
) -> tuple[Floats, Floats, Floats]:
    """A ratio and its interval in logarithms; NaN where it is 0, infinite or none."""
    estimate = np.where((estimate > 0) & np.isfinite(estimate), estimate, np.nan)
    half = np.exp(z * np.sqrt(variance))
    return estimate, estimate / half, estimate * half


def _excess(strata: _Strata) -> tuple[Floats, Floats]:
    """Selections above the pooled rates, and their hypergeometric variance."""
    pool, total = strata.pool, strata.total
    excess = strata.sum(strata.s - strata.n * total / pool)
    variance = strata.sum(
        strata.n * strata.n_ref * total * (pool - total) / (pool**2 * (pool - 1))
    )
    return excess, variance


def _chi_square(strata: _Strata, continuity: float) -> Floats:
    """Mantel–Haenszel chi-square on one degree of freedom."""
    excess, variance = _excess(strata)
    with np.errstate(divide="ignore", invalid="ignore"):
        reduced = np.maximum(np.abs(excess) - continuity, 0.0)
        return np.where(variance > 0, reduced**2 / variance, np.nan)


def _homogeneity(strata: _Strata, odds_ratio: Floats) -> tuple[Floats, Floats, Floats]:
    """Breslow–Day statistic, Tarone's, and the p-value of the latter."""
    is_mixed = (strata.total > 0) & (strata.total < strata.pool)
    common = odds_ratio[strata.codes]
    edge = strata.pool - strata.n - strata.total + common * (strata.n + strata.total)
    product = common * strata.n * strata.total
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = 2 * product / (edge + np.sqrt(edge**2 + 4 * (1 - common) * product))
        inverse = (
            1 / fitted
            + 1 / (strata.n - fitted)
            + 1 / (strata.total - fitted)
            + 1 / (strata.n_ref - strata.total + fitted)
        )
        residual = np.where(is_mixed, strata.s - fitted, 0.0)
        variance = np.where(is_mixed, 1 / inverse, 0.0)
        breslow_day = strata.sum(np.where(is_mixed, residual**2 / variance, 0.0))
        tarone = breslow_day - strata.sum(residual) ** 2 / strata.sum(variance)
    freedom = strata.sum(is_mixed.astype(np.float64)) - 1
    is_tested = (freedom > 0) & ~np.isnan(odds_ratio)
    breslow_day = np.where(is_tested, breslow_day, np.nan)
    tarone = np.where(is_tested, np.maximum(tarone, 0.0), np.nan)
    return breslow_day, tarone, chdtrc(np.where(is_tested, freedom, np.nan), tarone)


def _koopman(
    s: Integers, n: Integers, s_ref: Integers, n_ref: Integers, *, z: float
) -> tuple[Floats, Floats]:
    """Score interval of a ratio of rates, for tables with somebody selected."""
    low, high = np.zeros(s.shape), np.full(s.shape, np.inf)
    tables = tuple(counts.astype(np.float64) for counts in (s, n, s_ref, n_ref))

    def excess(
        log_ratio: Floats, s: Floats, n: Floats, s_ref: Floats, n_ref: Floats
    ) -> Floats:
        ratio = np.exp(log_ratio)
        middle = ratio * (n + s_ref) + s + n_ref
        root = np.sqrt(
            np.maximum(middle**2 - 4 * ratio * (n + n_ref) * (s + s_ref), 0.0)
        )
        rate_ref = 2 * (s + s_ref) / (middle + root)
        result = -(z**2) * np.ones_like(ratio)
        for x, size, rate in ((s, n, ratio * rate_ref), (s_ref, n_ref, rate_ref)):
            variance = size * rate * (1 - rate)
            with np.errstate(divide="ignore", invalid="ignore"):
                result += np.where(variance > 0, (x - size * rate) ** 2 / variance, 0)
        return result

    # Beyond e^±30 no table of people has a bound.
    with np.errstate(divide="ignore"):
        centre = np.clip(np.log(s / n) - np.log(s_ref / n_ref), -30, 30)
    for bounds, end, rows in ((low, -30.0, s > 0), (high, 30.0, s_ref > 0)):
        if rows.any():
            bracket = np.sort([centre[rows], np.full(rows.sum(), end)], axis=0)
            cells = tuple(counts[rows] for counts in tables)
            root = elementwise.find_root(excess, tuple(bracket), args=cells)
            bounds[rows] = np.exp(root.x)
    return low, high


def _exact_p(
    s: Integers, n: Integers, s_other: Integers, n_other: Integers
) -> tuple[Floats, Floats]:
    """Fisher's two-sided p and the two-sided mid-p of each table."""
    fisher, mid = np.full(s.shape, np.nan), np.full(s.shape, np.nan)
    rows = np.flatnonzero((n > 0) & (n_other > 0))
    observed, size, others = (x.ravel()[rows] for x in (s, n, n_other))
    total = observed + s_other.ravel()[rows]
    share = size / (size + others)
    mean = total * share
    # Entries farther than this beyond the observed one and its mirror image weigh
    # less than 1e-30 of it: large pools need not be walked from end to end.
    reach = np.abs(observed - mean) + 12 * np.sqrt(mean * (1 - share)) + 50
    first = np.maximum(np.maximum(0, total - others), np.floor(mean - reach))
    last = np.minimum(np.minimum(size, total), np.ceil(mean + reach))
    start, width = first.astype(np.int64), (last - first + 1).astype(np.int64)
    ends = np.cumsum(width)
    for part in np.split(
        np.arange(rows.size),
        np.flatnonzero(np.diff(ends // CHUNK)) + 1,
    ):
        if part.size:
            fisher.flat[rows[part]], mid.flat[rows[part]] = _tails(
                *(x[part] for x in (observed, size, others, total, start, width))
            )
    return fisher, mid


def _tails(
    observed: Integers,
    size: Integers,
    others: Integers,
    total: Integers,
    start: Integers,
    width: Integers,
) -> tuple[Floats, Floats]:
    """Fisher's p and mid-p over each table's entries, laid end to end."""
    begin = np.cumsum(width) - width
    table = np.repeat(np.arange(width.size), width)
    entry = np.arange(table.size) - begin[table] + start[table]
    logs = _log_weights(entry, size[table], others[table], total[table])
    logs -= np.maximum.reduceat(logs, begin)[table]
    chance = np.exp(logs)
    chance /= np.add.reduceat(chance, begin)[table]
    here = begin + observed - start
    is_rarer = logs <= logs[here][table] + EQUAL_LOG
    fisher = np.add.reduceat(np.where(is_rarer, chance, 0.0), begin)
    below = np.add.reduceat(np.where(entry < observed[table], chance, 0.0), begin)
    above = np.add.reduceat(np.where(entry > observed[table], chance, 0.0), begin)
    mid = 2 * (np.minimum(below, above) + chance[here] / 2)
    return np.minimum(fisher, 1.0), np.minimum(mid, 1.0)


def _log_weights(
    entry: Integers, size: Integers, others: Integers, total: Integers
) -> Floats:
    """Logarithm of each entry's hypergeometric weight, up to its table's constant."""
    return -(
        gammaln(entry + 1)
        + gammaln(size - entry + 1)
        + gammaln(total - entry + 1)
        + gammaln(others - total + entry + 1)
    )


@dataclass(frozen=True)
class _ConditionalSums:
    """Distribution of the group's selections in some slices, given all margins.

    `logs` has a row per slice and a column per sum, counted from the smallest possible
    one up to `last`; beyond it, -inf. `observed` is counted alike.
    """

    logs: Floats
    observed: Integers
    last: Integers
    n_strata: Integers

    def chance(self, log_odds: Floats, rows: Integers) -> Floats:
        """Chance of each sum in these rows under a common odds ratio."""
        tilted = self.logs[rows] + log_odds[:, None] * np.arange(self.logs.shape[1])
        chance = np.exp(tilted - tilted.max(axis=1, keepdims=True))
        scaled: Floats = chance / chance.sum(axis=1, keepdims=True)
        return scaled

    def tails(self, chance: Floats, rows: Integers) -> tuple[Floats, Floats, Floats]:
        """Chances of a smaller sum than the observed one, of it, and of a larger."""
        offset = np.arange(self.logs.shape[1]) - self.observed[rows, None]
        below, at, above = (
            np.where(side, chance, 0.0).sum(axis=1)
            for side in (offset < 0, offset == 0, offset > 0)
        )
        return below, at, above

    def p_values(self) -> tuple[Floats, Floats]:
        """Two-sided p and mid-p of an odds ratio of 1."""
        rows = np.arange(self.last.size)
        chance = self.chance(np.zeros(rows.size), rows)
        here = self.logs[rows, self.observed][:, None]
        p = np.where(self.logs <= here + EQUAL_LOG, chance, 0.0).sum(axis=1)
        below, at, above = self.tails(chance, rows)
        mid_p = 2 * (np.minimum(below, above) + at / 2)
        return np.minimum(p, 1.0), np.minimum(mid_p, 1.0)

    def odds_ratio(self) -> Floats:
        """Odds ratio under which the observed sum is the expected one."""

        def surplus(log_odds: Floats, rows: Integers) -> Floats:
            mean = self.chance(log_odds, rows) @ np.arange(self.logs.shape[1])
            result: Floats = mean - self.observed[rows]
            return result

        return self._root(surplus, (self.observed > 0) & (self.observed < self.last))

    def bounds(self, tail: float, share: float) -> tuple[Floats, Floats]:
        """Odds ratios that leave `tail` beyond the observed sum and `share` of it."""

        def upper(log_odds: Floats, rows: Integers) -> Floats:
            _, at, above = self.tails(self.chance(log_odds, rows), rows)
            return above + share * at - tail

        def lower(log_odds: Floats, rows: Integers) -> Floats:
            below, at, _ = self.tails(self.chance(log_odds, rows), rows)
            return tail - below - share * at

        return (
            self._root(upper, self.observed > 0),
            self._root(lower, self.observed < self.last),
        )

    def _root(
        self, function: Callable[[Floats, Integers], Floats], is_inner: Booleans
    ) -> Floats:
        """Odds ratio where an increasing function of its logarithm is zero."""
        root = np.where(self.observed == 0, 0.0, np.inf)
        rows = np.flatnonzero(is_inner)
        if rows.size:
            # Neighbouring sums differ in weight by no more than this factor; beyond it
            # all chance is on one end.
            with np.errstate(invalid="ignore"):
                steps = np.abs(np.diff(self.logs[rows], axis=1))
            end = np.where(np.isfinite(steps), steps, 0.0).max(axis=1) + 50

            def at(log_odds: Floats, row: Floats) -> Floats:
                return function(log_odds, row.astype(np.int64))

            found = elementwise.find_root(
                at, (-end, end), args=(rows.astype(np.float64),)
            )
            root[rows] = np.exp(found.x)
        return root


def _conditional_sums(strata: _Strata) -> Iterator[tuple[Integers, _ConditionalSums]]:
    """Slices with information and their distributions, as many at once as fit."""
    kept = (strata.total > 0) & (strata.total < strata.pool)
    s, size, others, total, code = (
        values[kept].astype(np.int64)
        for values in (strata.s, strata.n, strata.n_ref, strata.total, strata.codes)
    )
    first = np.maximum(0, total - others)
    width = np.minimum(size, total) - first + 1
    slices, row = np.unique(code, return_inverse=True)
    last = _sums(width - 1, row)
    by_length = np.argsort(last, kind="stable")
    cuts = np.flatnonzero(np.diff(np.cumsum(last[by_length] + 1) // CHUNK)) + 1
    for part in np.split(by_length, cuts):
        if not part.size:
            continue
        place = np.full(slices.size, -1, dtype=np.int64)
        place[part] = np.arange(part.size)
        mine = place[row] >= 0
        own = place[row[mine]]
        logs = _multiplied(
            first[mine], width[mine], size[mine], others[mine], total[mine], own
        )
        yield (
            slices[part],
            _ConditionalSums(
                logs[:, : int(last[part].max()) + 1],
                observed=_sums((s - first)[mine], own),
                last=last[part],
                n_strata=np.bincount(own),
            ),
        )


def _multiplied(
    first: Integers,
    width: Integers,
    size: Integers,
    others: Integers,
    total: Integers,
    row: Integers,
) -> Floats:
    """Log coefficients of the product of each row's hypergeometric polynomials."""
    order = np.lexsort((-width, row))
    row_in_order = row[order]
    turn = np.arange(row.size) - np.searchsorted(row_in_order, row_in_order)
    logs = np.zeros((int(row.max()) + 1, 1))
    for now in range(int(turn.max()) + 1):
        picked = order[turn == now]
        step = np.arange(int(width[picked].max()))
        entry = first[picked, None] + step
        with np.errstate(invalid="ignore"):
            factor = _log_weights(
                entry, size[picked, None], others[picked, None], total[picked, None]
            )
        factor = np.where(step < width[picked, None], factor, -np.inf)
        factor -= factor.max(axis=1, keepdims=True)
        before = logs.shape[1]
        product = np.full((logs.shape[0], before + step.size - 1), -np.inf)
        product[:, :before] = logs
        mine = np.full((picked.size, product.shape[1]), -np.inf)
        for shift in step:
            window = mine[:, shift : shift + before]
            np.logaddexp(window, logs[row[picked]] + factor[:, shift, None], out=window)
        product[row[picked]] = mine
        logs = product
    return logs


def _audit(
    is_selected: Booleans,
    sex: ArrayLike,
    race: ArrayLike,
    n_sex: int | None,
    n_race: int | None,
    min_share: float,
    median: float,
    is_assessed: Booleans | None = None,
) -> BiasAudit:
    """The three tables of an audit of those assessed."""
    sexes, sex_size = _categories("sex", sex, is_selected, n_sex)
    races, race_size = _categories("race", race, is_selected, n_race)
    both = np.where((sexes < 0) | (races < 0), -1, sexes * race_size + races)
    rows = slice(None) if is_assessed is None else is_assessed
    by_sex, by_race, by_both = (
        _audit_table(is_selected[rows], codes[rows], size, min_share)
        for codes, size in (
            (sexes, sex_size),
            (races, race_size),
            (both, sex_size * race_size),
        )
    )
    return BiasAudit(by_sex, by_race, by_both, median)


def _audit_table(
    is_selected: Booleans, codes: Integers, size: int, min_share: float
) -> AuditTable:
    """Rates and ratios of the categories of one table."""
    known = codes >= 0
    n = np.bincount(codes[known], minlength=size)
    n_selected = np.bincount(codes[known & is_selected], minlength=size)
    # A category of exactly the share stays in, whatever the rounding of the product.
    is_small = n < min_share * n.sum() * (1 - 1e-12)
    with np.errstate(invalid="ignore"):
        rate = n_selected / n
    standing = np.where(is_small | (n == 0), -1.0, rate)
    reference = int(standing.argmax()) if (standing >= 0).any() else -1
    highest = standing.max(initial=-1.0)
    reason = np.select(
        [n == 0, is_small, np.full(size, highest <= 0)],
        ["nobody_assessed", "below_min_share", "nobody_selected"],
        "",
    )
    ratio = np.full(size, np.nan)
    ratio[reason == ""] = rate[reason == ""] / highest
    return AuditTable(
        n, n_selected, rate, ratio, reason, reference, int(np.sum(~known))
    )


def _categories(
    name: str, values: ArrayLike, is_selected: Booleans, size: int | None
) -> tuple[Integers, int]:
    """Category codes with -1 for unknown, and how many categories there are."""
    codes = np.asarray(values)
    if codes.shape != is_selected.shape or codes.ndim != 1:
        raise ValueError(
            f"{name} must have one code per person, got {codes.shape} for "
            f"{is_selected.shape}"
        )
    codes = np.where(codes < 0, -1, codes).astype(np.int64)
    largest = int(codes.max(initial=-1))
    if size is not None and largest >= size:
        raise ValueError(f"{name} must be below {size}, got {largest}")
    return codes, largest + 1 if size is None else size


def _n_slices(codes: Integers, n_slices: int | None) -> int:
    """Length of an answer by slice, checked against the codes."""
    size = int(codes.max(initial=-1)) + 1 if n_slices is None else n_slices
    if (codes >= size).any():
        raise ValueError(f"slice_code must be below {size}, got {codes.max()}")
    return size


def _sums(counts: Integers, codes: Integers, size: int = 0) -> Integers:
    """Sum of the rows of each code."""
    return np.bincount(codes, counts, size).astype(np.int64)


def _tables(
    selected: ArrayLike,
    entered: ArrayLike,
    other_selected: ArrayLike,
    other_entered: ArrayLike,
) -> tuple[Integers, Integers, Integers, Integers]:
    """Counts of both sides in one shape, checked."""
    counts = *_counts(selected, entered), *_counts(other_selected, other_entered)
    s, n, s_other, n_other = np.broadcast_arrays(*counts)
    return s, n, s_other, n_other


def _counts(selected: ArrayLike, entered: ArrayLike) -> tuple[Integers, Integers]:
    """Counts of one side as whole numbers, checked."""
    sides = np.broadcast_arrays(np.atleast_1d(selected), np.atleast_1d(entered))
    for name, values in zip(("selected", "entered"), sides, strict=True):
        wrong = values[~((values >= 0) & (values == np.floor(values)))]
        if wrong.size:
            raise ValueError(f"{name} must be a count, got {wrong[0]}")
    s, n = (values.astype(np.int64) for values in sides)
    if (s > n).any():
        raise ValueError(
            f"selected must not exceed entered, got {s[s > n][0]} of {n[s > n][0]}"
        )
    return s, n


def _codes(slice_code: ArrayLike, counts: Integers) -> Integers:
    """Slice codes, one per row, checked."""
    codes = np.asarray(slice_code)
    if codes.shape != counts.shape:
        raise ValueError(
            f"slice_code must have shape {counts.shape}, got {codes.shape}"
        )
    if (codes < 0).any():
        raise ValueError(f"slice_code must not be negative, got {codes.min()}")
    return codes.astype(np.int64)
