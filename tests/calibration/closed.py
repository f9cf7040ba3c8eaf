"""Coverage of the intervals that have a closed form, and of the bootstraps."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from orchestration.statistics import (
    agreement,
    durations,
    gaps,
    parity,
    rounds,
    validity,
)
from orchestration.statistics.flow import backlog_growth
from orchestration.statistics.proportions import (
    clopper_pearson,
    newcombe_difference,
    wilson,
)
from tests.calibration.scales import (
    MEAN,
    N_LEVELS,
    RELIABILITY,
    SD,
    agreement_truths,
    alpha_truths,
    level_shares,
    levels,
    pair_correlation,
    pair_shares,
)
from tests.calibration.study import AT_LEAST, Z95, Row, people, study, tally

Floats = NDArray[np.float64]
Generator = np.random.Generator
Rows = Iterator[Row]

RATES = (0.05, 0.24, 0.60)


# --- shares ----------------------------------------------------------------------


@study("coverage", "Wilson", unit="people")
def wilson_rate(rng: Generator, n: int, replicates: int) -> Rows:
    """Binomial counts at three pass rates."""
    for rate in RATES:
        found = wilson(rng.binomial(n, rate, replicates), n)
        yield tally(f"pass rate {rate:g}", found.low, found.high, rate)


@study("coverage", "Clopper–Pearson", unit="people", target=AT_LEAST)
def clopper_pearson_rate(rng: Generator, n: int, replicates: int) -> Rows:
    """Binomial counts at three pass rates; exact, so it covers more than promised."""
    for rate in RATES:
        found = clopper_pearson(rng.binomial(n, rate, replicates), n)
        yield tally(f"pass rate {rate:g}", found.low, found.high, rate)


@study("coverage", "Newcombe difference", unit="people a side")
def newcombe(rng: Generator, n: int, replicates: int) -> Rows:
    """Two binomial counts."""
    for one, two in ((0.05, 0.06), (0.24, 0.30), (0.15, 0.33)):
        found = newcombe_difference(
            rng.binomial(n, one, replicates),
            n,
            other_passed=rng.binomial(n, two, replicates),
            other_entered=n,
        )
        yield tally(f"{one:g} less {two:g}", found.low, found.high, one - two)


@study("coverage", "Impact ratio", unit="people a side")
def impact(rng: Generator, n: int, replicates: int) -> Rows:
    """Two binomial counts; Katz's interval, Koopman's where a cell is zero."""
    for one, two in ((0.04, 0.05), (0.24, 0.30), (0.39, 0.60)):
        found = parity.impact_ratio(
            rng.binomial(n, one, replicates),
            n,
            reference_selected=rng.binomial(n, two, replicates),
            reference_entered=n,
        )
        share = found.is_score.mean()
        name = f"rates {one:g} and {two:g} (a zero cell in {share:.0%})"
        yield tally(name, found.low, found.high, one / two)


def _strata(rng: Generator, n: int, replicates: int, *, odds: float, ratio: float):
    """Selections of ten people a side in each of n / 10 strata of unlike rates."""
    size = n // 10
    base = np.linspace(0.15, 0.45, size)
    other = ratio * base
    if odds != 1:
        other = odds * base / (1 - base + odds * base)
    draws = [rng.binomial(10, p, (replicates, size)).ravel() for p in (other, base)]
    ten = np.full(replicates * size, 10)
    return SimpleNamespace(
        selected=draws[0],
        entered=ten,
        beside={"reference_selected": draws[1], "reference_entered": ten},
        code=people(size, replicates),
    )


@study("coverage", "Mantel–Haenszel", unit="people a side, ten a stratum")
def mantel_haenszel(rng: Generator, n: int, replicates: int) -> Rows:
    """Strata with base rates from .15 to .45 and one odds ratio, or one rate ratio."""
    for name, odds, ratio in (("odds ratio", 0.7, 1.0), ("rate ratio", 1.0, 0.8)):
        drawn = _strata(rng, n, replicates, odds=odds, ratio=ratio)
        found = parity.mantel_haenszel(
            drawn.selected,
            drawn.entered,
            **drawn.beside,
            slice_code=drawn.code,
            n_slices=replicates,
        )
        if name == "odds ratio":
            yield tally(f"{name} .7", found.or_low, found.or_high, odds)
        else:
            yield tally(f"{name} .8", found.rr_low, found.rr_high, ratio)


@study("coverage", "Conditional odds ratio, exact", unit="people a side, ten a stratum",
       target=AT_LEAST)  # fmt: skip
def conditional_exact(rng: Generator, n: int, replicates: int) -> Rows:
    """The same strata; exact, so it covers more than it promises."""
    yield from _conditional(rng, n, replicates, "exact")


@study("coverage", "Conditional odds ratio, mid-p", unit="people a side, ten a stratum")
def conditional_mid_p(rng: Generator, n: int, replicates: int) -> Rows:
    """The same strata, half of the observed table in each tail."""
    yield from _conditional(rng, n, replicates, "mid-p")


def _conditional(rng: Generator, n: int, replicates: int, interval: str) -> Rows:
    drawn = _strata(rng, n, replicates, odds=0.7, ratio=1.0)
    found = parity.exact_mantel_haenszel(
        drawn.selected,
        drawn.entered,
        **drawn.beside,
        slice_code=drawn.code,
        n_slices=replicates,
        interval=interval,
    )
    yield tally("odds ratio .7", found.low, found.high, 0.7)


# --- score gaps ------------------------------------------------------------------


@study("coverage", "Hedges g", unit="people in the focal group")
def hedges(rng: Generator, n: int, replicates: int) -> Rows:
    """Normal scores; normal scores three quarters men; ratings of five levels."""
    for name, n_ref, is_rounded in (
        ("normal scores, n and n", n, False),
        ("normal scores, n and 3 n", 3 * n, False),
        ("five levels, n and n", n, True),
    ):
        one = rng.normal(MEAN - 0.45 * SD, SD, (replicates, n))
        two = rng.normal(MEAN, SD, (replicates, n_ref))
        truth = -0.45
        if is_rounded:
            one, two = levels(one), levels(two)
            shares = level_shares(np.array([MEAN - 0.45 * SD, MEAN]), SD)
            mean = shares @ np.arange(N_LEVELS)
            spread = shares @ np.arange(N_LEVELS) ** 2 - mean**2
            truth = float((mean[0] - mean[1]) / np.sqrt(spread.mean()))
        found = gaps.score_gap(
            np.full(replicates, n),
            one.mean(axis=1),
            one.std(axis=1, ddof=1),
            reference_n=np.full(replicates, n_ref),
            reference_mean=two.mean(axis=1),
            reference_sd=two.std(axis=1, ddof=1),
        )
        yield tally(name, found.low, found.high, truth)


def _ratings(rng: Generator, n: int, replicates: int, effect: float):
    """Five-level ratings of proportional odds on a total; n people a side."""
    total = np.round(2 * rng.normal(size=replicates * 2 * n)) / 2
    is_focal = np.tile(np.arange(2 * n) < n, replicates)
    latent = 1.5 * total + effect * is_focal + rng.logistic(size=total.size)
    return SimpleNamespace(
        score=np.digitize(latent, [-3.5, -1.2, 1.0, 3.2]),
        matched=total,
        about={
            "is_focal": is_focal,
            "slice_code": people(2 * n, replicates),
            "n_slices": replicates,
        },
    )


@study("coverage", "DIF, ordinal logit", unit="people a side")
def ordinal_dif(rng: Generator, n: int, replicates: int) -> Rows:
    """Proportional odds of five levels given a total, with and without an effect."""
    for effect in (0.0, -0.6):
        drawn = _ratings(rng, n, replicates, effect)
        found = gaps.ordinal_dif(drawn.score, drawn.matched, **drawn.about)
        yield tally(f"effect {effect:g} logits", found.low, found.high, effect)


@study("coverage", "DIF, Mantel–Haenszel", unit="people a side")
def mantel_dif(rng: Generator, n: int, replicates: int) -> Rows:
    """The same ratings, of five levels and of two; 1.96 standard errors each way."""
    for effect in (0.0, -0.6):
        drawn = _ratings(rng, n, replicates, effect)
        for name, score in (
            ("five levels", drawn.score),
            ("two levels", drawn.score > 2),
        ):
            found = gaps.mantel_dif(score, drawn.matched, **drawn.about)
            half = Z95 * found.delta_se
            truth = gaps.DELTA * effect
            yield tally(
                f"delta of {effect:g} logits, {name}",
                found.delta - half,
                found.delta + half,
                truth,
            )
            if effect == 0:
                half = Z95 * found.smd_se
                yield tally(f"mean difference, {name}", found.smd - half,
                            found.smd + half, 0.0)  # fmt: skip


# --- correlations ----------------------------------------------------------------


def _normals(rng: Generator, shape: tuple[int, ...], matrix: Floats) -> Floats:
    """Standard normal variables of a correlation matrix, along the last axis."""
    root = np.linalg.cholesky(matrix)
    return rng.normal(size=(*shape, len(matrix))) @ root.T


@study("coverage", "Correlation, Fisher z", unit="people")
def fisher(rng: Generator, n: int, replicates: int) -> Rows:
    """Bivariate normal values."""
    for r in (0.0, 0.3, 0.7):
        drawn = _normals(rng, (replicates * n,), np.array([[1, r], [r, 1]]))
        found = validity.pearson(
            drawn[:, 0], drawn[:, 1], group=people(n, replicates), n_groups=replicates
        )
        yield tally(f"r = {r:g}", found.low, found.high, r)


def _hired(select_on: Floats, n: int) -> NDArray[np.bool_]:
    """The n best of each row."""
    best = np.argpartition(-select_on, n - 1, axis=1)[:, :n]
    chosen = np.zeros(select_on.shape, dtype=bool)
    np.put_along_axis(chosen, best, True, axis=1)
    return chosen


def _corrected(n: int, score: Floats, outcome: Floats, hired, **known):
    """Validity of one predictor among the hired, with the correction of `known`."""
    replicates, size = score.shape
    ratio = validity.sd_ratios(
        score.ravel(),
        hired.ravel(),
        group=people(size, replicates),
        n_groups=replicates,
    )
    return validity.predictive_validity(
        score[hired],
        outcome[hired],
        group=people(n, replicates),
        sd_ratio=ratio,
        n_groups=replicates,
        **known,
    )


@study("coverage", "Range restriction, Case II", unit="hired, the best of 5 n")
def case_two(rng: Generator, n: int, replicates: int) -> Rows:
    """Hired by the score itself; the applicants' spread is estimated.

    `operational` has an outcome of reliability .60 among the hired.
    """
    r = 0.33
    score = rng.normal(size=(replicates, 5 * n))
    clean = r * score + np.sqrt(1 - r**2) * rng.normal(size=score.shape)
    # The best fifth of a normal variable: mean 1.400, variance .219.
    cut, tail = 0.8416212, 1.3998096
    restricted = 1 + cut * tail - tail**2
    left = r**2 * restricted + 1 - r**2
    noise = np.sqrt(left * (1 / 0.6 - 1))
    hired = _hired(score, n)
    found = _corrected(n, score, clean, hired)
    among = r * np.sqrt(restricted / left)
    yield tally("among the hired", found.observed.low, found.observed.high, among)
    yield tally("among applicants", found.corrected.low, found.corrected.high, r)
    outcome = clean + noise * rng.normal(size=score.shape)
    found = _corrected(n, score, outcome, hired, criterion_reliability=0.6)
    yield tally("operational", found.operational.low, found.operational.high, r)


@study("coverage", "Range restriction, Case IV", unit="hired, the best of 5 n")
def case_four(rng: Generator, n: int, replicates: int) -> Rows:
    """Hired by another measure of the same true score; reliability .60 is known."""
    reliability, r = 0.6, 0.33
    true = np.sqrt(reliability) * rng.normal(size=(replicates, 5 * n))
    score = true + np.sqrt(1 - reliability) * rng.normal(size=true.shape)
    other = true + 0.5 * rng.normal(size=true.shape)
    slope = r / reliability
    outcome = slope * true + np.sqrt(1 - slope**2 * reliability) * rng.normal(
        size=true.shape
    )
    found = _corrected(
        n, score, outcome, _hired(other, n), predictor_reliability=reliability
    )
    yield tally("among applicants", found.corrected.low, found.corrected.high, r)


@study("coverage", "Range restriction, Lawley", unit="hired, the best of 5 n")
def lawley(rng: Generator, n: int, replicates: int) -> Rows:
    """Hired by the sum of three rounds; the applicants' covariances are estimated."""
    matrix = np.full((4, 4), 0.35)
    matrix[3, :3] = matrix[:3, 3] = (0.33, 0.25, 0.0)
    np.fill_diagonal(matrix, 1)
    drawn = _normals(rng, (replicates, 5 * n), matrix)
    hired = _hired(drawn[..., :3].sum(axis=-1), n)
    found = validity.moments(
        drawn[hired], group=people(n, replicates), n_groups=replicates
    )
    everyone = validity.moments(
        drawn[..., :3].reshape(-1, 3),
        group=people(5 * n, replicates),
        n_groups=replicates,
    )
    valid = validity.multivariate_validity(
        found.covariance, found.n, unrestricted=everyone.covariance
    )
    for place, r in enumerate(matrix[3, :3]):
        yield tally(f"validity {r:g}", valid.low[:, place], valid.high[:, place], r)


# Two outcomes and three predictors: the third adds nothing to the others.
_WEIGHTS = np.array([0.35, 0.15, 0.0])


def _validities() -> Floats:
    """Correlations of three predictors and the outcome they are weighted into."""
    matrix = np.full((4, 4), 0.55)
    np.fill_diagonal(matrix, 1)
    matrix[3, :3] = matrix[:3, 3] = matrix[:3, :3] @ _WEIGHTS
    return matrix


@study("coverage", "Unique R²", unit="people")
def unique_r2(rng: Generator, n: int, replicates: int) -> Rows:
    """Three predictors that correlate .55, of weights .35, .15 and 0."""
    matrix = _validities()
    drawn = _normals(rng, (replicates * n,), matrix)
    found = validity.moments(drawn, group=people(n, replicates), n_groups=replicates)
    added = validity.increments(found.covariance, found.n)
    own = _WEIGHTS**2 / np.diagonal(np.linalg.inv(matrix[:3, :3]))
    for place, truth in enumerate(own):
        name = f"weight {_WEIGHTS[place]:g}, unique {truth:.3f}"
        yield tally(name, added.low[:, place], added.high[:, place], truth)


@study("coverage", "Difference of correlations, Zou", unit="people")
def zou(rng: Generator, n: int, replicates: int) -> Rows:
    """Validities of two rounds for one outcome, and correlations without overlap."""
    matrix = _validities()
    drawn = _normals(rng, (replicates, n), matrix)
    z = drawn - drawn.mean(axis=1, keepdims=True)
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
    r = np.einsum("rni,rnj->rij", z, z)
    found = validity.williams_t(r[:, 0, 3], r[:, 1, 3], r_kh=r[:, 0, 1], n=n)
    truth = matrix[0, 3] - matrix[1, 3]
    yield tally("one outcome in common", found.low, found.high, truth)
    found = validity.steiger_z(
        r[:, 0, 3], r[:, 1, 2], r_jh=r[:, 0, 1], r_jm=r[:, 0, 2], r_kh=r[:, 1, 3],
        r_km=r[:, 2, 3], n=n,
    )  # fmt: skip
    truth = matrix[0, 3] - matrix[1, 2]
    yield tally("nothing in common", found.low, found.high, truth)


# --- durations and flow ----------------------------------------------------------

# Days in a stage: Weibull of shape 1.3 and scale 20; open ones censored within 60.
_SHAPE, _SCALE, _LONGEST = 1.3, 20.0, 60.0


def _stays(rng: Generator, n: int, replicates: int):
    days = _SCALE * rng.weibull(_SHAPE, n * replicates)
    open_at = rng.uniform(0, _LONGEST, days.size)
    return SimpleNamespace(
        days=np.minimum(days, open_at),
        is_ended=days <= open_at,
        about={"group": people(n, replicates), "n_groups": replicates},
    )


def _days_at(ended: float) -> float:
    """Days within which a share has ended."""
    return float(_SCALE * (-np.log(1 - ended)) ** (1 / _SHAPE))


def _unbounded(estimate: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds of quantiles: the data may not bound one from above, or from below."""
    known = ~np.isnan(estimate)
    low = np.where(known & np.isnan(low), 0.0, low)
    high = np.where(known & np.isnan(high), np.inf, high)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


@study("coverage", "Kaplan–Meier quantiles, log-log", unit="applications")
def quantiles(rng: Generator, n: int, replicates: int) -> Rows:
    """Weibull days in a stage, three in ten still open; an open bound is infinite."""
    drawn = _stays(rng, n, replicates)
    found = durations.survival_quantiles(
        drawn.days, drawn.is_ended, probability=[0.5, 0.85], **drawn.about
    )
    for place, share in enumerate((0.5, 0.85)):
        bounds = _unbounded(
            found.estimate[:, place], found.low[:, place], found.high[:, place]
        )
        yield tally(f"days by which {share:g} ended", *bounds, _days_at(share))


@study("coverage", "Kaplan–Meier survival, log-log", unit="applications")
def survival(rng: Generator, n: int, replicates: int) -> Rows:
    """The same stays: shares still there at three times."""
    drawn = _stays(rng, n, replicates)
    ended = (0.1, 0.5, 0.85)
    found = durations.survival_at(
        drawn.days, drawn.is_ended, at=[_days_at(e) for e in ended], **drawn.about
    )
    for place, share in enumerate(ended):
        yield tally(f"still there: {1 - share:g}", found.low[:, place],
                    found.high[:, place], 1 - share)  # fmt: skip


@study("coverage", "Restricted mean", unit="applications")
def restricted_mean(rng: Generator, n: int, replicates: int) -> Rows:
    """The same stays, cut at 30 days."""
    drawn = _stays(rng, n, replicates)
    found = durations.restricted_mean(
        drawn.days, drawn.is_ended, until=30.0, **drawn.about
    )
    grid = (np.arange(300_000) + 0.5) * 1e-4
    truth = float(np.exp(-((grid / _SCALE) ** _SHAPE)).sum() * 1e-4)
    yield tally("mean days within 30", found.low, found.high, truth)


@study("coverage", "Aalen–Johansen, log-log", unit="applications")
def incidence(rng: Generator, n: int, replicates: int) -> Rows:
    """The same stays; .70 of them end by rejection, .25 by advancing, .05 otherwise."""
    drawn = _stays(rng, n, replicates)
    cause = rng.choice([1, 2, 3], drawn.days.size, p=[0.70, 0.25, 0.05])
    found = durations.cumulative_incidence(
        drawn.days, cause * drawn.is_ended, horizon=30.0, n_causes=3, **drawn.about
    )
    ended = float(1 - np.exp(-((30 / _SCALE) ** _SHAPE)))
    for place, share in enumerate((0.70, 0.25, 0.05)):
        yield tally(f"share {share * ended:.3f} by day 30", found.low[:, place],
                    found.high[:, place], share * ended)  # fmt: skip


@study("coverage", "Days above the year before", unit="applications, 4 n before")
def above_reference(rng: Generator, n: int, replicates: int) -> Rows:
    """Two Kaplan–Meier medians; half-widths add in squares, as the report adds them."""
    now, before = (
        durations.survival_quantiles(drawn.days, drawn.is_ended, **drawn.about)
        for drawn in (_stays(rng, n, replicates), _stays(rng, 4 * n, replicates))
    )
    now_low, now_high = _unbounded(now.estimate, now.low, now.high)
    was_low, was_high = _unbounded(before.estimate, before.low, before.high)
    estimate = now.estimate - before.estimate
    low = estimate - np.hypot(now.estimate - now_low, was_high - before.estimate)
    high = estimate + np.hypot(now_high - now.estimate, before.estimate - was_low)
    yield tally("difference 0", low, high, 0.0)


@study(
    "coverage", "Backlog growth, overlapping blocks", unit="weeks", sizes=(13, 52, 104)
)
def growth(rng: Generator, n: int, replicates: int) -> Rows:
    """Poisson arrivals and departures a week, growth 2; independent, and with rates
    that carry half of their deviation into the next week."""
    for name, carried in (("independent weeks", 0.0), ("weeks that depend", 0.5)):
        rates = np.empty((2, replicates, n))
        now = rng.normal(size=(2, replicates))
        for week in range(n):
            if week:
                now = carried * now + np.sqrt(1 - carried**2) * rng.normal(
                    size=now.shape
                )
            rates[..., week] = now
        scale = 3.0 if carried else 0.0
        means = np.array([18.0, 16.0])[:, None, None]
        counts = rng.poisson(np.maximum(means + scale * rates, 0.5))
        found = backlog_growth(counts[0], counts[1])
        yield tally(name, found.low, found.high, 2.0)


# --- agreement -------------------------------------------------------------------


def _two_ratings(rng: Generator, n: int, replicates: int, k: int = 2) -> Floats:
    """Latent scores of k raters a candidate, shape (replicates × n, k)."""
    true = np.sqrt(RELIABILITY) * SD * rng.normal(size=(replicates * n, 1))
    return MEAN + true + np.sqrt(1 - RELIABILITY) * SD * rng.normal(size=(true.size, k))


@study("coverage", "ICC(1) and ICC(1,k), one-way", unit="candidates")
def one_way(rng: Generator, n: int, replicates: int) -> Rows:
    """Other raters for each candidate: two, one to four, and two on five levels."""
    for name in ("two raters", "one to four raters", "two raters, five levels"):
        scores, truth = _two_ratings(rng, n, replicates, 4), RELIABILITY
        if name.endswith("levels"):
            scores, truth = levels(scores).astype(float), pair_correlation()
        k = np.full((len(scores), 1), 2)
        if name.startswith("one"):
            k = rng.integers(1, 5, k.shape)
        kept = np.arange(4) < k
        unit, _ = np.nonzero(kept)
        found = agreement.one_way(scores[kept], unit, unit // n, n_groups=replicates)
        yield tally(f"single, {name}", found.low, found.high, truth)
        of_mean = truth / (truth + (1 - truth) / found.k_effective)
        yield tally(f"mean, {name}", found.mean_low, found.mean_high, of_mean)


@study("coverage", "Six ICCs of complete blocks", unit="candidates, 3 raters")
def six_forms(rng: Generator, n: int, replicates: int) -> Rows:
    """Two-way random effects of three raters drawn anew; the one-way forms of raters
    that differ from candidate to candidate."""
    candidate, rater, rest = RELIABILITY, 0.05, 0.51
    tables = np.sqrt(candidate) * rng.normal(size=(replicates, n, 1))
    noise = np.sqrt(rest) * rng.normal(size=(replicates, n, 3))
    crossed = tables + noise + np.sqrt(rater) * rng.normal(size=(replicates, 1, 3))
    nested = tables + noise + np.sqrt(rater) * rng.normal(size=(replicates, n, 3))
    errors = {"1": rater + rest, "a": rater + rest, "c": rest}
    for drawn, wanted in ((nested, "1"), (crossed, "ac")):
        found = agreement.complete_blocks(drawn)
        for place, form in enumerate(agreement.FORMS):
            kind, k = form[4], 3 if form.endswith("k") else 1
            if kind in wanted:
                truth = candidate / (candidate + errors[kind] / k)
                yield tally(form, found.low[:, place], found.high[:, place], truth)


@study("coverage", "Agreement, bootstrap of candidates", unit="candidates")
def bootstrapped(rng: Generator, n: int, replicates: int) -> Rows:
    """Two raters on five levels; percentile bounds of 1,000 draws."""
    pairs = _coincidences(rng, n, replicates)
    low, high = agreement.bootstrap(
        pairs, chosen=np.ones(replicates, bool), replicates=1_000, rng=rng
    )
    for name, truth in alpha_truths(pair_shares()).items():
        yield tally(name, getattr(low, name), getattr(high, name), truth)


def _coincidences(rng: Generator, n: int, replicates: int) -> agreement.Coincidences:
    given = levels(_two_ratings(rng, n, replicates))
    unit = np.repeat(np.arange(len(given)), 2)
    return agreement.coincidences(
        given.ravel(), unit, unit // n, n_levels=N_LEVELS, n_groups=replicates
    )


@study("coverage", "Agreement, Gwet's standard errors", unit="candidates")
def gwet(rng: Generator, n: int, replicates: int) -> Rows:
    """Two raters on five levels; Student's t on Fisher's scale."""
    pairs = _coincidences(rng, n, replicates)
    for weights in ("identity", "quadratic"):
        found = agreement.chance_corrected(pairs, N_LEVELS, weights=weights)
        truths = agreement_truths(pair_shares(), weights)
        for name in ("percent", "gwet", "fleiss", "brennan_prediger", "alpha"):
            low, high = agreement.interval(getattr(found, name))
            yield tally(f"{name}, {weights}", low, high, truths[name])


# The five levels, and three of them: below the middle, the middle, above.
_MERGED = {5: np.arange(N_LEVELS), 3: np.array([0, 0, 1, 2, 2])}


@study("coverage", "AC2 where many are rated once", unit="candidates with two ratings")
def rated_once(rng: Generator, n: int, replicates: int) -> Rows:
    """Two raters on five or three levels for some, one for as many or for three times
    as many; the report's limits, with the error of those with two."""
    for more, mean, k in ((1, MEAN, 5), (3, MEAN, 5), (3, MEAN + 1, 5), (3, MEAN, 3)):
        given = levels(_two_ratings(rng, n, replicates) + mean - MEAN)
        once = levels(_two_ratings(rng, more * n, replicates)[:, 0] + mean - MEAN)
        several = np.repeat(np.arange(len(given)), 2)
        unit = np.append(several, len(given) + np.arange(once.size))
        group = np.append(several // n, np.arange(once.size) // (more * n))
        pairs = agreement.coincidences(
            _MERGED[k][np.append(given.ravel(), once)],
            unit,
            group,
            n_levels=k,
            n_groups=replicates,
        )
        low, high = agreement.gwet_ac2_limits(pairs, np.full(replicates, k))
        into = np.eye(k)[_MERGED[k]]
        joint = into.T @ pair_shares(mean=mean) @ into
        truth = agreement_truths(joint, "quadratic")["gwet"]
        name = f"{k} levels, mean {mean:g}, {more} rated once for one rated twice"
        yield tally(name, low, high, truth)


@study("coverage", "Cohen's and Conger's kappa", unit="candidates")
def kappas(rng: Generator, n: int, replicates: int) -> Rows:
    """Cohen's of two raters, one stricter by .3; Conger's of three alike."""
    scores = _two_ratings(rng, n, replicates, 3)
    three = levels(scores)
    strict = levels(scores[:, 1] - 0.3)
    tables = agreement.pair_tables(
        three[:, 0], strict, people(n, replicates), n_levels=N_LEVELS,
        n_groups=replicates,
    )  # fmt: skip
    unit, rater = np.indices(three.shape)
    for weights in ("identity", "quadratic"):
        cohen = agreement.cohen_kappa(tables, weights=weights)
        truth = agreement_truths(pair_shares(shift=0.3), weights)["cohen"]
        low, high = agreement.interval(cohen)
        yield tally(f"Cohen, {weights}", low, high, truth)
        conger = agreement.conger_kappa(
            three.ravel(), unit.ravel(), rater.ravel(), unit.ravel() // n,
            n_levels=N_LEVELS, n_groups=replicates, weights=weights,
        )  # fmt: skip
        low, high = agreement.interval(conger)
        truth = agreement_truths(pair_shares(), weights)["cohen"]
        yield tally(f"Conger, {weights}", low, high, truth)


# --- rounds ----------------------------------------------------------------------


def _loop(rng: Generator, n: int, replicates: int, alike: float):
    """Four rounds of two raters each; the first two correlate `alike` in truth."""
    matrix = np.full((4, 4), 0.55)
    matrix[0, 1] = matrix[1, 0] = alike
    np.fill_diagonal(matrix, 1)
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0))
    true = rng.normal(size=(replicates, n, 4)) @ root.T
    error = np.sqrt(1 / RELIABILITY - 1)
    ratings = true[..., None] + error * rng.normal(size=(*true.shape, 2))
    scores = ratings.mean(axis=-1)
    centred = scores - scores.mean(axis=1, keepdims=True)
    covariance = np.einsum("rni,rnj->rij", centred, centred) / (n - 1)
    by_round = ratings.transpose(0, 2, 1, 3)
    unit = np.repeat(np.arange(replicates * 4 * n), 2)
    single = agreement.one_way(
        by_round.ravel(), unit, unit // n, n_groups=replicates * 4
    )
    reliability, low, high = (
        np.clip(part.reshape(replicates, 4), -1, 1)
        for part in (single.mean_estimate, single.mean_low, single.mean_high)
    )
    of_panel = 1 / (1 + error**2 / 2)
    return SimpleNamespace(
        covariance=covariance,
        reliability=reliability,
        se=(high - low) / (2 * Z95),
        true=matrix,
        observed=matrix + np.eye(4) * (1 / of_panel - 1),
        of_panel=np.full(4, of_panel),
    )


@study("coverage", "Marginal reliability, redundancy", unit="candidates of all rounds")
def round_intervals(rng: Generator, n: int, replicates: int) -> Rows:
    """Four rounds of two raters, reliabilities estimated by ICC(1,k) with a standard
    error of a fourth of their interval, as the report takes it."""
    for alike in (0.55, 1.0):
        drawn = _loop(rng, n, replicates, alike)
        known = {"reliability_se": drawn.se}
        added = rounds.marginal_reliability(
            drawn.covariance, drawn.reliability, n, **known
        )
        truth = rounds.marginal_reliability(drawn.observed, drawn.of_panel, n)
        yield tally(f"marginal reliability, r {alike:g}", added.low[:, 0],
                    added.high[:, 0], truth.estimate[0])  # fmt: skip
        cells = drawn.covariance
        r = cells[:, 0, 1] / np.sqrt(cells[:, 0, 0] * cells[:, 1, 1])
        pair = rounds.true_correlation(
            r,
            n,
            reliability=drawn.reliability[:, 0],
            other_reliability=drawn.reliability[:, 1],
            reliability_se=drawn.se[:, 0],
            other_se=drawn.se[:, 1],
        )
        yield tally(f"true correlation {alike:g}", pair.low, pair.high, alike)
        with_rest = rounds.redundancy(cells, drawn.reliability, n, **known)
        rest = rounds.redundancy(drawn.observed, drawn.of_panel, n)
        yield tally(f"redundancy with the others, r {alike:g}", with_rest.low[:, 0],
                    with_rest.high[:, 0], rest.estimate[0])  # fmt: skip


@study("coverage", "Flips and borderline cases, Wilson", unit="candidates")
def decided(rng: Generator, n: int, replicates: int) -> Rows:
    """Three rounds that correlate .35, three in ten pass; the cut is the sample's."""
    matrix = np.full((3, 3), 0.35)
    np.fill_diagonal(matrix, 1)
    many = 1_000_000
    scores = _normals(rng, (replicates * n,), matrix)
    crowd = _normals(rng, (many,), matrix)
    found = rounds.flip_rate(
        scores, pass_rate=0.3, group=people(n, replicates), n_groups=replicates
    )
    with_it, without = crowd.sum(axis=1), crowd[:, 1:].sum(axis=1)
    passes = [total > np.quantile(total, 0.7) for total in (with_it, without)]
    truth = float(np.mean(passes[0] != passes[1]))
    yield tally("flip rate", found.low[:, 0], found.high[:, 0], truth)
    cuts = np.quantile(scores[:, 0].reshape(replicates, n), 0.7, axis=1)
    near = rounds.borderline_share(
        scores[:, 0], cut=cuts, sem=0.6, group=people(n, replicates),
        n_groups=replicates,
    )  # fmt: skip
    at = np.quantile(crowd[:, 0], 0.7)
    truth = float(np.mean(np.abs(crowd[:, 0] - at) <= 0.6))
    yield tally("borderline share", near.low, near.high, truth)
