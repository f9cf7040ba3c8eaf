"""A million rows: every estimator gives back what was planted."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from orchestration.statistics import (
    agreement,
    crossed,
    crossed_effects,
    drift,
    durations,
    flow,
    gaps,
    multiplicity,
    parity,
    proportions,
    rasch,
    rounds,
    severity,
    validity,
)
from orchestration.statistics.halo import halo
from orchestration.statistics.true_scores import true_correlations

pytestmark = pytest.mark.nightly
ROWS = 1_000_000
INTERVIEWERS, CELLS, LEVELS = 400, 5, 5
VAR_CANDIDATE, VAR_INTERVIEWER, VAR_RESID = 0.5, 0.05, 0.45


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(20261124)


@pytest.fixture(scope="module")
def ratings() -> SimpleNamespace:
    """Two ratings each of half a million candidates, by two of 400 interviewers."""
    rng = np.random.default_rng(1)
    candidate = np.repeat(np.arange(ROWS // 2), 2)
    first = rng.integers(0, INTERVIEWERS, ROWS // 2)
    second = (first + rng.integers(1, INTERVIEWERS, ROWS // 2)) % INTERVIEWERS
    interviewer = np.column_stack([first, second]).ravel()
    own = np.sqrt(VAR_INTERVIEWER) * rng.normal(size=INTERVIEWERS)
    score = np.sqrt(VAR_CANDIDATE) * rng.normal(size=ROWS // 2)[candidate]
    score += own[interviewer] + np.sqrt(VAR_RESID) * rng.normal(size=ROWS)
    level = np.clip(np.round(score) + 2, 0, LEVELS - 1).astype(np.int64)
    group = np.zeros(ROWS, dtype=np.int64)
    return SimpleNamespace(
        candidate=candidate, interviewer=interviewer, own=own - own.mean(),
        score=score, level=level, group=group,
        cell=candidate % CELLS, quarter=candidate % 12,
    )  # fmt: skip


def test_agreement(ratings: SimpleNamespace, rng: np.random.Generator) -> None:
    one = agreement.one_way(ratings.score, ratings.candidate, ratings.group, n_groups=1)
    pairs = agreement.coincidences(
        ratings.level, ratings.candidate, ratings.group, n_levels=LEVELS, n_groups=1
    )
    found = agreement.agreement(pairs)
    low, high = agreement.bootstrap(pairs, chosen=[True], replicates=200, rng=rng)
    ac2_low, ac2_high = agreement.gwet_ac2_limits(pairs, [LEVELS])
    ac2 = agreement.gwet_ac2(pairs, [LEVELS])
    chance = agreement.chance_corrected(pairs, [LEVELS], weights="quadratic")
    rater = np.tile([0, 1], ROWS // 2)
    conger = agreement.conger_kappa(
        ratings.level, ratings.candidate, rater, ratings.group,
        n_levels=LEVELS, n_groups=1, weights="quadratic",
    )  # fmt: skip
    tables = agreement.pair_tables(
        ratings.level[::2], ratings.level[1::2], ratings.group[::2],
        n_levels=LEVELS, n_groups=1,
    )  # fmt: skip
    kappa = agreement.cohen_kappa(tables, weights="quadratic")

    total = VAR_CANDIDATE + np.var(ratings.own) + VAR_RESID
    assert one.n_ratings[0] == ROWS
    assert one.estimate[0] == pytest.approx(VAR_CANDIDATE / total, abs=0.005)
    assert one.low[0] < one.estimate[0] < one.high[0] < one.low[0] + 0.006
    assert low.alpha_interval[0] < found.alpha_interval[0] < high.alpha_interval[0]
    assert high.alpha_interval[0] - low.alpha_interval[0] < 0.01
    assert ac2_low[0] < ac2[0] < ac2_high[0] < ac2_low[0] + 0.01
    # With a million ratings and raters alike all four correct for the same chance.
    assert found.alpha_interval[0] == pytest.approx(chance.alpha.estimate[0], abs=1e-9)
    for other in (chance.fleiss, conger, kappa):
        assert found.alpha_interval[0] == pytest.approx(other.estimate[0], abs=1e-4)


def test_agreement_by_unit_and_by_block(ratings: SimpleNamespace) -> None:
    near = agreement.consensus(
        ratings.score, ratings.candidate, n_units=ROWS // 2, null=1.0
    )
    blocks = agreement.complete_blocks(ratings.score.reshape(1, -1, 2))

    between = ratings.score[::2] - ratings.score[1::2]
    assert np.mean(1 - near.r_wg) == pytest.approx(np.mean(between**2) / 2, abs=1e-9)
    assert np.isfinite(near.ad_mean).all()
    assert np.isfinite(np.asarray(blocks.estimate)).all()


def test_crossed_components_and_predictions(ratings: SimpleNamespace) -> None:
    fit = crossed.components(ratings.score, ratings.candidate, ratings.interviewer)
    k = crossed.k_harmonic(ratings.candidate, ratings.interviewer)
    q = crossed.q_overlap(ratings.candidate, ratings.interviewer)
    bounds = crossed.intervals(fit, q_overlap=q, k_harmonic=k)
    added = crossed_effects.interviewer_effects(fit, np.arange(INTERVIEWERS))

    assert fit.converged
    assert fit.var_candidate == pytest.approx(VAR_CANDIDATE, abs=0.006)
    assert fit.var_interviewer == pytest.approx(np.var(ratings.own), rel=0.02)
    assert fit.var_resid == pytest.approx(VAR_RESID, abs=0.006)
    assert bounds.g_low < crossed.g_qk(fit, q, k) < bounds.g_high
    assert np.std(added - ratings.own) < 0.03
    assert crossed.largest_component(ratings.candidate, ratings.interviewer).mask.all()


def test_severity_and_misfit(
    ratings: SimpleNamespace, rng: np.random.Generator
) -> None:
    found = severity.severity(
        ratings.score, ratings.candidate, ratings.cell, ratings.interviewer
    )
    fit = severity.misfit(found, np.ones(ROWS, dtype=bool), rng=rng, n_draws=2)

    z = (found.raw + ratings.own) / found.se
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.04)
    assert found.var_interviewer == pytest.approx(np.var(ratings.own), rel=0.1)
    assert fit.outfit == pytest.approx(1, abs=0.15)


def test_drift(ratings: SimpleNamespace, rng: np.random.Generator) -> None:
    slope = np.where(np.arange(INTERVIEWERS) % 40 == 0, 0.03, 0.0)
    score = ratings.score + slope[ratings.interviewer] * ratings.quarter
    who = {"interviewer": ratings.interviewer, "candidate": ratings.candidate}

    slopes = drift.drift_slopes(score, ratings.quarter, cell=ratings.cell, **who)
    series = drift.quarter_severities(score, ratings.quarter, cell=ratings.cell, **who)
    q = multiplicity.benjamini_hochberg(slopes.p)

    assert set(np.flatnonzero(slope)) <= set(np.flatnonzero(q < 0.05))
    assert np.mean(q[slope == 0] < 0.05) < 0.02
    assert series.severity.shape == (INTERVIEWERS, 12)
    assert np.isfinite(series.se).all()


def test_control_charts(rng: np.random.Generator) -> None:
    value, se = rng.normal(size=(ROWS // 10, 10)), np.ones((ROWS // 10, 10))
    shifted = value.copy()
    shifted[:, 5:] += 3

    average = drift.ewma(value, se)
    sums = drift.cusum(value, se)
    change = drift.change_point(shifted, se, rng=rng, n_draws=199)

    assert average.is_outside.mean() < 0.005
    assert sums.is_outside.mean() < 0.01
    assert np.mean(change.position == 5) > 0.8
    assert np.mean(change.p <= 0.05) > 0.75


def test_many_facets(rng: np.random.Generator) -> None:
    n, items = ROWS // 10, 5
    candidate = np.repeat(np.arange(n), 2 * items)
    interviewer = rng.integers(0, 50, (n, 2)).repeat(items, axis=1).ravel()
    item = np.tile(np.arange(items), 2 * n)
    own = rng.normal(size=50) * 0.5
    own -= own.mean()
    threshold = np.array([-2.0, 0.0, 2.0])
    at = rng.normal(size=n)[candidate] - own[interviewer]
    steps = np.cumsum(at[:, None] - threshold, axis=1)
    weight = np.exp(np.column_stack([np.zeros(ROWS), steps]))
    share = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    score = (rng.random(ROWS)[:, None] > share).sum(axis=1)

    fit = rasch.many_facet(
        score, candidate, item=item, interviewer=interviewer, n_levels=4
    )

    assert fit.converged
    assert np.std(fit.severity - fit.severity.mean() - own) < 0.02
    use = rasch.level_use(fit)
    assert np.asarray(use.n).sum() == pytest.approx(ROWS)
    assert not np.any(use.is_disordered)


def test_parity_of_a_million_people(rng: np.random.Generator) -> None:
    sex, race = rng.integers(0, 2, ROWS), rng.integers(0, 5, ROWS)
    selected = rng.random(ROWS) < np.where(sex == 1, 0.2, 0.25)

    audit = parity.selection_audit(selected, sex=sex, race=race)
    scored = parity.scoring_audit(
        rng.normal(size=ROWS) - 0.1 * (sex == 1), sex=sex, race=race
    )

    assert audit.sex.impact_ratio[1] == pytest.approx(0.8, abs=0.01)
    assert audit.intersection.n.sum() == ROWS
    assert scored.sex.rate[0] > 0.5 > scored.sex.rate[1]


def test_parity_of_a_million_strata(rng: np.random.Generator) -> None:
    entered, others = rng.integers(1, 6, ROWS), rng.integers(1, 6, ROWS)
    base = rng.uniform(0.1, 0.5, ROWS)
    odds = 0.7 * base / (1 - base)
    selected = rng.binomial(entered, odds / (1 + odds))
    reference = rng.binomial(others, base)
    counts = {"reference_selected": reference, "reference_entered": others}
    whole = np.zeros(ROWS, dtype=np.int64)

    found = parity.mantel_haenszel(selected, entered, slice_code=whole, **counts)
    # Exact sums of many strata are for slices of few people.
    exact = parity.exact_mantel_haenszel(
        selected, entered, slice_code=np.arange(ROWS) // 50, **counts
    )
    tests = parity.selection_tests(
        selected, entered, other_selected=reference, other_entered=others
    )
    ratio = parity.impact_ratio(selected, entered, **counts)

    assert found.n_strata[0] > 0.9 * ROWS
    assert found.or_low[0] <= 0.7 <= found.or_high[0] < found.or_low[0] + 0.02
    assert np.mean((exact.low <= 0.7) & (exact.high >= 0.7)) > 0.95
    assert np.nanmean(tests.fisher_p <= 0.05) < 0.05
    assert ratio.estimate.shape == (ROWS,)


def test_score_gaps(rng: np.random.Generator) -> None:
    is_focal = rng.random(ROWS) < 0.3
    ability = rng.normal(size=ROWS) - 0.2 * is_focal
    matched = np.clip(np.round(3 * ability + rng.normal(size=ROWS)), -8, 8)
    score = (ability[:, None] + rng.logistic(size=(ROWS, 1)) > [-1, 0, 1]).sum(axis=1)
    one = np.zeros(ROWS, dtype=np.int64)

    part = gaps.moments(ability, group=is_focal.astype(np.int64))
    gap = gaps.score_gap(
        part.n[1], part.mean[1], part.sd[1],
        reference_n=part.n[0], reference_mean=part.mean[0], reference_sd=part.sd[0],
    )  # fmt: skip
    mantel = gaps.mantel_dif(score, matched, is_focal=is_focal, slice_code=one)
    ordinal = gaps.ordinal_dif(score, matched, is_focal=is_focal, slice_code=one)

    assert gap.low <= -0.2 <= gap.high
    assert gap.high - gap.low < 0.01
    # The matching score errs a little, so a trace of the gap is left.
    assert mantel.category[0] == "AA"
    assert abs(mantel.delta[0]) < 0.3
    assert mantel.delta[0] == pytest.approx(ordinal.delta[0], abs=0.1)


def test_validity(rng: np.random.Generator) -> None:
    x = rng.normal(size=(ROWS, 3))
    x[:, 1] += 0.5 * x[:, 0]
    y = 0.3 * x[:, 0] + 0.2 * x[:, 1] + rng.normal(size=ROWS)
    one = np.zeros(ROWS, dtype=np.int64)
    hired = x[:, 0] > 0.5

    r = validity.pearson(x[:, 0], y, group=one)
    ratio = validity.sd_ratios(x[:, 0], hired, group=one)
    chosen = validity.predictive_validity(
        x[hired, 0], y[hired], group=one[hired], sd_ratio=ratio
    )
    both = validity.moments(np.column_stack([x, y]), group=one)
    added = validity.increments(both.covariance[0], int(both.n[0]))

    truth = 0.4 / np.sqrt(0.4**2 + 0.2**2 + 1)
    assert r.low[0] <= truth <= r.high[0] < r.low[0] + 0.01
    assert chosen.observed.estimate[0] < truth - 0.1
    assert chosen.corrected.low[0] <= truth <= chosen.corrected.high[0]
    assert added.p[2] > 0.001
    assert added.unique_r2[0] > 0.03 > added.high[2]


def test_rounds(rng: np.random.Generator) -> None:
    true = rng.normal(size=(ROWS // 4, 1))
    scores = true + rng.normal(size=(ROWS // 4, 4))
    one = np.zeros(ROWS // 4, dtype=np.int64)

    flips = rounds.flip_rate(scores, pass_rate=[0.3], group=one)
    near = rounds.borderline_share(scores[:, 0], cut=0.0, sem=1.0, group=one)
    decided = rounds.decisions(rng.uniform(0.1, 0.9, ROWS), pass_rate=0.3)
    cards = np.arange(ROWS) // 4
    alike = true_correlations(
        scores.ravel(), cards, np.tile([0, 0, 1, 1], ROWS // 4), n_rounds=2
    )

    assert np.ptp(flips.estimate[0]) < 0.005
    inside = norm.cdf(1 / np.sqrt(2)) - norm.cdf(-1 / np.sqrt(2))
    assert near.estimate[0] == pytest.approx(inside, abs=0.005)
    assert np.isfinite(decided.consistency).all()
    assert alike.estimate[0, 1] == pytest.approx(1, abs=0.01)


def test_halo(rng: np.random.Generator) -> None:
    n_rated, interviewer = 5, rng.integers(0, INTERVIEWERS, ROWS // 5)
    strong = np.where(interviewer % 100 == 0, 2.0, 0.5)
    rated = rng.normal(size=(ROWS // 5, n_rated))
    rated += strong[:, None] * rng.normal(size=(ROWS // 5, 1))
    cell = np.zeros(ROWS // 5, dtype=np.int64)

    found = halo(
        rated.sum(axis=1), (rated**2).sum(axis=1),
        np.full(ROWS // 5, n_rated), cell, interviewer,
    )  # fmt: skip

    assert np.flatnonzero(found.p < 1e-6).tolist() == [0, 100, 200, 300]


def test_durations(rng: np.random.Generator) -> None:
    time = rng.exponential(size=ROWS)
    censored = rng.exponential(2.0, size=ROWS)
    cause = np.where(rng.random(ROWS) < 0.6, 1, 2)
    seen, is_event = np.minimum(time, censored), time <= censored
    cause = np.where(is_event, cause, 0)
    one, sample = np.zeros(ROWS, dtype=np.int64), rng.integers(0, 2, ROWS)

    median = durations.survival_quantiles(seen, is_event, group=one)
    at = durations.survival_at(seen, is_event, at=1.0, group=one)
    mean = durations.restricted_mean(seen, is_event, until=1.0, group=one)
    first = durations.cumulative_incidence(seen, cause, horizon=1.0, group=one)
    test = durations.log_rank(seen, is_event, sample=sample, group=one)

    assert median.low[0] <= np.log(2) <= median.high[0] < median.low[0] + 0.01
    assert at.estimate[0] == pytest.approx(np.exp(-1), abs=0.003)
    assert mean.estimate[0] == pytest.approx(1 - np.exp(-1), abs=0.003)
    shares = 0.6 * (1 - np.exp(-1)), 0.4 * (1 - np.exp(-1))
    assert first.estimate[0] == pytest.approx(shares, abs=0.003)
    assert test.p[0] > 0.001


def test_weeks(rng: np.random.Generator) -> None:
    arrived = rng.poisson(20, (ROWS // 50, 50))
    left = rng.poisson(18, (ROWS // 50, 50))

    growth = flow.backlog_growth(arrived, left)

    assert growth.estimate.mean() == pytest.approx(2, abs=0.05)
    assert np.mean((growth.low <= 2) & (growth.high >= 2)) > 0.9


def test_counts_and_tests(rng: np.random.Generator) -> None:
    entered = rng.integers(0, 100, ROWS)
    passed = rng.binomial(entered, 0.3)
    p = rng.random(ROWS)
    p[:1_000] = 1e-12

    share = proportions.wilson(passed, entered)
    exact = proportions.clopper_pearson(passed, entered)

    some = entered > 0
    assert np.isnan(share.estimate[~some]).all()
    assert np.mean((share.low <= 0.3) & (share.high >= 0.3), where=some) > 0.93
    assert np.mean((exact.low <= 0.3) & (exact.high >= 0.3), where=some) > 0.95
    for adjusted in (multiplicity.benjamini_hochberg(p), multiplicity.holm(p)):
        assert (adjusted[:1_000] < 0.001).all()
        assert (adjusted >= p).all()
