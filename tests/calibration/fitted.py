"""Coverage of the intervals of fitted models: REML, profile likelihood, Rasch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from orchestration.statistics import crossed
from orchestration.statistics.crossed_effects import interviewer_effects
from orchestration.statistics.drift import drift_slopes, quarter_severities
from orchestration.statistics.rasch import level_use, many_facet
from orchestration.statistics.severity import severity
from orchestration.statistics.true_scores import true_correlations
from tests.calibration.panels import INTERVIEWERS, Panel, panel
from tests.calibration.scales import RELIABILITY, SEVERITY_SD
from tests.calibration.study import (
    FITTED,
    FITTED_TARGET,
    Z95,
    Row,
    study,
    tally,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Generator = np.random.Generator
Rows = Iterator[Row]

MODEL = {"replicates": FITTED, "target": FITTED_TARGET}


def _pairs(rng: Generator, n: int, interviewers: int) -> Integers:
    """Two different interviewers of each candidate."""
    return rng.random((n, interviewers)).argpartition(1, axis=1)[:, :2]


# Variances of one rating; they add up to 1.
_CANDIDATE, _INTERVIEWER, _PAIR, _QUESTION = RELIABILITY, 0.05, 0.16, 0.03


def _rated(rng: Generator, n: int, *, interviewers: int, answers: int):
    """Ratings with all four random terms; an answer more is a question more."""
    met = _pairs(rng, n, interviewers)
    rest = 1 - _CANDIDATE - _INTERVIEWER - (answers > 1) * (_PAIR + _QUESTION)
    score = np.sqrt(_CANDIDATE) * rng.normal(size=(n, 1, 1))
    score = (
        score + np.sqrt(_INTERVIEWER) * rng.normal(size=interviewers)[met][..., None]
    )
    score = score + np.sqrt(rest) * rng.normal(size=(n, 2, answers))
    if answers > 1:
        score = score + np.sqrt(_PAIR) * rng.normal(size=(n, 2, 1))
        score = score + np.sqrt(_QUESTION) * rng.normal(size=answers)
    candidate, place, question = np.indices(score.shape)
    return (
        score.ravel(),
        candidate.ravel(),
        met[candidate, place].ravel(),
        question.ravel(),
    )


def _reliabilities(
    rng: Generator, n: int, replicates: int, *, interviewers: int, answers: int
) -> Rows:
    """ICC and G of panels of two; truth of G by the overlap of each panel."""
    bounds, truths = [], []
    for _ in range(replicates):
        score, candidate, interviewer, question = _rated(
            rng, n, interviewers=interviewers, answers=answers
        )
        q = crossed.q_overlap(candidate, interviewer)
        k = crossed.k_harmonic(candidate, interviewer)
        asked = question if answers > 1 else None
        fit = crossed.components(score, candidate, interviewer, asked)
        shared = 0.0 if answers > 1 else None
        found = crossed.intervals(
            fit, q_overlap=q, k_harmonic=k, ratings_per_card=answers, q_question=shared
        )
        bounds.append((found.icc_low, found.icc_high, found.g_low, found.g_high))
        rest = 1 - _CANDIDATE - _INTERVIEWER
        error = rest / 2
        if answers > 1:
            error = _PAIR / 2 + (rest - _PAIR - _QUESTION) / (2 * answers)
        truths.append(_CANDIDATE / (_CANDIDATE + q * _INTERVIEWER + error))
    low = np.array(bounds)
    yield tally("ICC of one rating", low[:, 0], low[:, 1], _CANDIDATE)
    yield tally("G(q,k) of the panel", low[:, 2], low[:, 3], truths)


@study("coverage", "REML, candidates × interviewers", unit="candidates", **MODEL)
def two_facets(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of twelve interviewers a candidate, one rating each; profile likelihood."""
    yield from _reliabilities(rng, n, replicates, interviewers=12, answers=1)


@study("coverage", "REML, with questions and pairs", unit="candidates", **MODEL)
def four_facets(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of twelve interviewers a candidate, three questions each, the same for all;
    a candidate's luck with an interviewer has variance .16; profile likelihood."""
    yield from _reliabilities(rng, n, replicates, interviewers=12, answers=3)


@study("coverage", "REML, asymptotic", unit="candidates", sizes=(2_600,), **MODEL)
def asymptotic(rng: Generator, n: int, replicates: int) -> Rows:
    """More than 5,000 ratings by forty interviewers: the logit is taken as normal."""
    yield from _reliabilities(rng, n, replicates, interviewers=40, answers=1)


def _relative(truth: Floats, drawn: Panel) -> Floats:
    """Severities about their card-weighted mean."""
    return truth - np.average(truth, weights=np.bincount(drawn.interviewer))


@study("coverage", "Severity of interviewers", unit="cards an interviewer", **MODEL)
def severities(rng: Generator, n: int, replicates: int) -> Rows:
    """36 interviewers of SD .20, three in five candidates seen by two: unshrunken
    (BLUE) with 1.96 standard errors, and shrunken (BLUP) with its posterior SD."""
    raw, shrunk = [], []
    for _ in range(replicates):
        truth = rng.normal(0, SEVERITY_SD, INTERVIEWERS)
        drawn = panel(rng, n, quarters=1, severity=truth)
        found = severity(drawn.score, drawn.candidate, drawn.cell, drawn.interviewer)
        truth = _relative(truth, drawn)
        raw.append((found.raw, found.se, truth))
        shrunk.append((found.shrunk, found.shrunk_sd, truth))
    yield _normal("unshrunken", raw)
    yield _normal("shrunken", shrunk)


def _normal(name: str, found: list[tuple[Floats, Floats, Floats]]) -> Row:
    """Intervals of 1.96 standard errors."""
    estimate, se, truth = (np.array(part) for part in zip(*found, strict=True))
    return tally(name, estimate - Z95 * se, estimate + Z95 * se, truth)


@study("coverage", "Drift", unit="cards an interviewer in 12 quarters", **MODEL)
def drifts(rng: Generator, n: int, replicates: int) -> Rows:
    """36 interviewers whose slopes have SD .02 a quarter: unshrunken and shrunken
    slopes, the drift all share, and the severity of each quarter."""
    found: dict[str, list[tuple[Floats, Floats, Floats]]] = {}
    for _ in range(replicates):
        strict = rng.normal(0, SEVERITY_SD, INTERVIEWERS)
        moved = rng.normal(0, 0.02, INTERVIEWERS)
        drawn = panel(rng, n / 12, quarters=12, severity=strict, drift=moved)
        known = {"interviewer": drawn.interviewer, "candidate": drawn.candidate}
        slopes = drift_slopes(
            drawn.score, drawn.quarter, **known, n_interviewers=INTERVIEWERS
        )
        weight = np.where(slopes.se > 0, 1 / slopes.se**2, 0.0)
        weight = np.nan_to_num(weight) / np.nansum(weight)
        series = quarter_severities(
            drawn.score, drawn.quarter, **known, n_interviewers=INTERVIEWERS
        )
        at = strict[:, None] + moved[:, None] * np.arange(series.severity.shape[1])
        cards = series.n_cards
        mean = (cards * at).sum(axis=0) / np.maximum(cards.sum(axis=0), 1)
        shown = np.where(cards >= 5, series.severity, np.nan)
        full = np.full((INTERVIEWERS, 12), np.nan)
        full[:, : at.shape[1]] = shown
        se, truth = np.full_like(full, np.nan), np.zeros_like(full)
        se[:, : at.shape[1]], truth[:, : at.shape[1]] = series.se, at - mean
        for name, part in (
            ("slope, unshrunken", (slopes.slope, slopes.se, -moved)),
            ("slope, shrunken", (slopes.shrunk, slopes.shrunk_sd, -moved)),
            ("drift all share", _one(slopes.common, slopes.common_se, -moved @ weight)),
            ("severity of a quarter with 5 cards", (full, se, truth)),
        ):
            found.setdefault(name, []).append(part)
    for name, parts in found.items():
        yield _normal(name, parts)


def _one(*values: float) -> tuple[Floats, Floats, Floats]:
    one, two, three = (np.array([value]) for value in values)
    return one, two, three


_THRESHOLDS = np.array([-2.4, -0.9, 0.8, 2.5])
_DIFFICULTY = np.array([-0.4, -0.1, 0.1, 0.4])


def _levels_given(rng: Generator, location: Floats) -> Integers:
    """Rating-scale levels of each candidate less difficulty less severity."""
    steps = location[:, None] - _THRESHOLDS
    logs = np.concatenate([np.zeros((len(steps), 1)), steps.cumsum(axis=1)], axis=1)
    chance = np.exp(logs - logs.max(axis=1, keepdims=True)).cumsum(axis=1)
    drawn = rng.random((len(steps), 1)) * chance[:, -1:]
    return (drawn > chance).sum(axis=1)


def _loop(rng: Generator, n: int, alike: float, share: float):
    """Cards of four rounds, less severities as predicted; n candidates take the last.

    The first two rounds correlate by `alike`, others by .55; `share` of the candidates
    pass each round, by the mean of their cards and luck.
    """
    between = np.full((4, 4), 0.55)
    between[0, 1] = between[1, 0] = alike
    np.fill_diagonal(between, 1)
    values, vectors = np.linalg.eigh(between)
    root = vectors * np.sqrt(np.maximum(values, 0))
    true = rng.normal(size=(round(n / share**3), 4)) @ root.T * np.sqrt(_CANDIDATE)
    left, cards = np.arange(len(true)), []
    for place in range(4):
        met = _pairs(rng, left.size, 9)
        kept = np.ones(met.shape, dtype=bool)
        kept[:, 1] = rng.random(left.size) < 0.6
        row, interviewer = np.nonzero(kept)[0], met[kept]
        score = true[left[row], place] + 0.2 * rng.normal(size=9)[interviewer]
        score = score + np.sqrt(1 - _CANDIDATE) * rng.normal(size=row.size)
        fit = crossed.components(score, row, interviewer)
        known = interviewer_effects(fit, interviewer)
        cards.append((score - known, left[row], np.full(row.size, place)))
        mean = np.bincount(row, score) / np.bincount(row)
        mean = mean + 0.3 * rng.normal(size=mean.size)
        if share < 1:
            left = left[mean >= np.quantile(mean, 1 - share)]
    return map(np.concatenate, zip(*cards, strict=True))


@study("coverage", "True correlations of rounds", unit="candidates of the last round",
       **MODEL)  # fmt: skip
def true_scores(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of four rounds, with nine interviewers each and two raters on three
    candidates of five; everybody takes all, or half are chosen by each round."""
    for alike, share in ((0.75, 1.0), (0.75, 0.5), (1.0, 0.5)):
        bounds = []
        for _ in range(replicates):
            found = true_correlations(*_loop(rng, n, alike, share), n_rounds=4)
            bounds.append((found.low[0, 1], found.high[0, 1]))
        low, high = np.array(bounds).T
        who = "everybody" if share == 1 else "half chosen"
        yield tally(f"r {alike:g}, {who}", low, high, alike)


@study("coverage", "Many-facet Rasch", unit="candidates", **MODEL)
def rasch(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of twelve interviewers a candidate, four items of five levels; candidates of
    variance 1.5, severities of SD .4 logits; 1.96 standard errors each way."""
    found: dict[str, list[tuple[Floats, Floats, Floats]]] = {}
    for _ in range(replicates):
        strict = rng.normal(0, 0.4, 12)
        met = _pairs(rng, n, 12)
        candidate, place, item = (x.ravel() for x in np.indices((n, 2, 4)))
        interviewer = met[candidate, place]
        ability = 0.3 + np.sqrt(1.5) * rng.normal(size=n)
        score = _levels_given(
            rng, ability[candidate] - strict[interviewer] - _DIFFICULTY[item]
        )
        fit = many_facet(
            score, candidate, item=item, interviewer=interviewer, n_levels=5,
            n_interviewers=12,
        )  # fmt: skip
        use = level_use(fit)
        met_by_any = ~np.isnan(fit.severity)
        centre = strict[met_by_any].mean() if met_by_any.any() else 0.0
        for name, part in (
            ("severity", (fit.severity, fit.severity_se, strict - centre)),
            ("difficulty", (fit.difficulty, fit.difficulty_se, _DIFFICULTY)),
            ("threshold", (fit.threshold[0], fit.threshold_se[0], _THRESHOLDS)),
            ("distance of thresholds",
             (use.distance[0], use.distance_se[0], np.diff(_THRESHOLDS))),
            ("mean of candidates", _one(fit.mean, fit.mean_se, 0.3 - centre)),
            ("variance of candidates", _one(fit.variance, fit.variance_se, 1.5)),
        ):  # fmt: skip
            found.setdefault(name, []).append(part)
    for name, parts in found.items():
        yield _normal(name, parts)
