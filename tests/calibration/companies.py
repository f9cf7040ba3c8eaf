"""Companies of a realistic size: false alarms where nothing is wrong, and power.

Sizes are those of the preset `dev`: 20,000 applications in three years, 36 interviewers
of some 65 cards a year each, two raters on three candidates of five.
"""

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from orchestration.estimates.calibration import interviewer_calibration
from orchestration.settings import Policy
from orchestration.statistics import agreement, crossed, gaps, parity, rounds
from orchestration.statistics.crossed_effects import interviewer_effects
from orchestration.statistics.drift import drift_flags, drift_slopes
from orchestration.statistics.flow import backlog_growth
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.statistics.proportions import newcombe_difference
from orchestration.statistics.severity import severity, severity_p
from orchestration.statistics.true_scores import true_correlations
from orchestration.warehouse import DuckDBWarehouse
from tests.calibration.panels import INTERVIEWERS, Panel, panel
from tests.calibration.scales import (
    CUTS,
    MEAN,
    N_LEVELS,
    RELIABILITY,
    SD,
    SEVERITY_SD,
)
from tests.calibration.study import STUDIES, Z95, Row, happened, people, study

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Generator = np.random.Generator
Rows = Iterator[Row]

AT_MOST, AT_LEAST = (0.0, 5.0), (80.0, 100.0)
ALARM = {"target": AT_MOST, "replicates": 1_000}
POWER = {"target": AT_LEAST, "replicates": 500}
YEAR_CARDS, HEALTHY, FEWEST_CARDS = 65, 0.15, 16.25
# In memory where that is possible: a warehouse is a few files for a moment.
MEMORY = Path("/dev/shm")  # noqa: S108
PREFIX = "calibrate-"


def _healthy(rng: Generator, kind: str) -> Floats:
    """Severities of which none is beyond .15 point: even, or all as far as that."""
    if kind == "even":
        return rng.uniform(-HEALTHY, HEALTHY, INTERVIEWERS)
    return HEALTHY * rng.permutation(np.tile([-1.0, 1.0], INTERVIEWERS // 2))


# --- severity and drift ----------------------------------------------------------


def _severity_flags(drawn: Panel, policy: Policy) -> Flags:
    """Interviewers whom the report would flag as severe or lenient."""
    found = severity(drawn.score, drawn.candidate, drawn.cell, drawn.interviewer)
    _, p = severity_p(found.raw, found.se, margin=policy.severity_margin)
    is_far = np.abs(found.shrunk) >= policy.severity_flag
    return is_far & (benjamini_hochberg(p) < policy.false_discovery_rate)


@study("alarms", "Severity flag", unit="cards an interviewer and year",
       sizes=(YEAR_CARDS,), **ALARM)  # fmt: skip
def severity_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """A year of 36 interviewers, no severity beyond .15 point: spread evenly, or all
    at .15 one way or the other."""
    for kind in ("even", "all at the margin"):
        flags = [
            _severity_flags(
                panel(rng, n, quarters=1, severity=_healthy(rng, kind)), Policy()
            ).any()
            for _ in range(replicates)
        ]
        yield happened(f"any interviewer flagged, severities {kind}", flags)


@study("power", "Severe interviewer", unit="cards an interviewer and year",
       sizes=(YEAR_CARDS,), **POWER)  # fmt: skip
def severe(rng: Generator, n: int, replicates: int) -> Rows:
    """One of 36 interviewers is .60 point too strict; the others have SD .20, or lie
    within .15 as in a healthy company."""
    for name in ("SD .20", "within .15"):
        found = []
        for _ in range(replicates):
            strict = rng.normal(0, SEVERITY_SD, INTERVIEWERS)
            if name != "SD .20":
                strict = _healthy(rng, "even")
            strict[0] = 0.60
            drawn = panel(rng, n, quarters=1, severity=strict)
            found.append(_severity_flags(drawn, Policy())[0])
        yield happened(f"+.60 flagged, others {name}", found, stated=".87")


def _drift_flags(drawn: Panel, policy: Policy) -> NDArray[np.int64]:
    """Direction in which the report would flag each interviewer, of scores."""
    slopes = drift_slopes(
        drawn.score,
        drawn.quarter,
        interviewer=drawn.interviewer,
        candidate=drawn.candidate,
        cell=drawn.cell,
        n_interviewers=INTERVIEWERS,
    )
    change = (slopes.slope - slopes.common) * slopes.span
    flags = drift_flags(
        benjamini_hochberg(slopes.p),
        change,
        slopes.n_quarters,
        level=policy.false_discovery_rate,
    )
    return flags.direction


@study("alarms", "Drift flag", unit="quarters", sizes=(8, 12), **ALARM)
def drift_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """36 interviewers of 16 cards a quarter, none of whom drifts."""
    flags = []
    for _ in range(replicates):
        strict = rng.normal(0, SEVERITY_SD, INTERVIEWERS)
        drawn = panel(rng, FEWEST_CARDS, quarters=n, severity=strict)
        flags.append(_drift_flags(drawn, Policy()).any())
    yield happened("any interviewer flagged", flags)


@study("power", "Drifting interviewer", unit="quarters", sizes=(8, 12), **POWER)
def drifting(rng: Generator, n: int, replicates: int) -> Rows:
    """One of 36 interviewers becomes .06 point a quarter stricter, at 20 cards a
    quarter and at 25; the others have 16."""
    for cards in (20, 25):
        load = np.full(INTERVIEWERS, FEWEST_CARDS)
        load[0] = cards
        drift = np.zeros(INTERVIEWERS)
        drift[0] = 0.06
        found = []
        for _ in range(replicates):
            strict = rng.normal(0, SEVERITY_SD, INTERVIEWERS)
            drawn = panel(rng, load, quarters=n, severity=strict, drift=drift)
            found.append(_drift_flags(drawn, Policy())[0] < 0)
        stated = {8: ".18", 12: ".87"}[n]
        yield happened(f".06 a quarter flagged, {cards} cards", found, stated=stated)


# --- halo and the other habits, by the report itself -----------------------------

_YEAR = (dt.date(2025, 10, 1), dt.date(2026, 10, 1))
_WINDOWS = pd.DataFrame(
    [("year", "year", *_YEAR, True)],
    columns=["window_id", "window_kind", "window_start", "window_end", "is_closed"],
)
COMPETENCIES = 4
# Variances of one rating: what competencies share, one competency alone, a candidate
# with an interviewer (halo), the rest; with severity .44 true and .55 between
# competencies of a card.
_SHARED, _OWN, _HALO, _REST = 0.30, 0.097, 0.156, 0.31


def _year_of_ratings(
    rng: Generator, cards: float, strict: Floats, halo: int | None = None
) -> pd.DataFrame:
    """Rows of the mart of ratings: a year of one round, four competencies a card."""
    drawn = panel(rng, cards, quarters=1, severity=strict)
    n = int(drawn.candidate.max()) + 1
    who, size = drawn.candidate, drawn.candidate.size
    own = rng.normal(0, np.sqrt(_OWN), (n, COMPETENCIES))[who]
    score = MEAN + rng.normal(0, np.sqrt(_SHARED), n)[who] - strict[drawn.interviewer]
    spread, rest = np.full(size, _HALO), np.full(size, _REST)
    if halo is not None:
        # .85 between competencies, at the same variance of a rating.
        has_halo = drawn.interviewer == halo
        spread[has_halo], rest[has_halo] = 0.42, 0.046
    score = score + np.sqrt(spread) * rng.normal(size=size)
    noise = np.sqrt(rest)[:, None] * rng.normal(size=own.shape)
    rating = np.digitize(score[:, None] + own + noise, CUTS) + 1.0
    card, competency = (x.ravel() for x in np.indices(rating.shape))
    return pd.DataFrame(
        {
            "role_family": "engineering", "round": "technical",
            "competency": np.char.add("c", competency.astype(str)),
            "rubric_id": "r", "rubric_version": "1", "scale_id": "1-5/5",
            "scale_min": 1.0, "scale_max": 5.0, "n_levels": N_LEVELS,
            "scorecard_id": np.char.add("s", card.astype(str)),
            "candidate_id": np.char.add("p", who[card].astype(str)),
            "interviewer_id": np.char.add("i", drawn.interviewer[card].astype(str)),
            "question_id": "q", "rating_value": rating.ravel(), "is_shadow": False,
            "has_debrief": True, "is_independent": True,
            "submitted_at": pd.Timestamp("2026-03-01"),
        }
    )  # fmt: skip


def _habits(ratings: pd.DataFrame) -> pd.Series:
    """The report's flag of each interviewer."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        files = {}
        for mart, frame in (("fct_ratings", ratings), ("dim_windows", _WINDOWS)):
            path = Path(name) / f"{mart}.parquet"
            frame.to_parquet(path)
            files[f"marts.{mart}"] = [str(path)]
        table = interviewer_calibration(
            DuckDBWarehouse(parquet=files), Policy(), rng=np.random.default_rng(0)
        ).to_pandas()
    pooled = table[table["role_family"] == "all"]
    return pooled.set_index("interviewer_id")["flag"]


@study("alarms", "Habits of interviewers", unit="cards an interviewer and year",
       sizes=(YEAR_CARDS,), target=AT_MOST, replicates=500)  # fmt: skip
def habit_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """The whole calibration report on a year of five-level ratings of four
    competencies by 36 healthy interviewers."""
    found = [
        _habits(_year_of_ratings(rng, n, _healthy(rng, "even")))
        for _ in range(replicates)
    ]
    for flag in ("severe", "lenient", "halo", "compressed", "noisy"):
        yield happened(f"any interviewer flagged as {flag}",
                       [(flags == flag).any() for flags in found])  # fmt: skip
    yield happened("any flag", [(flags != "none").any() for flags in found])


@study("power", "Halo interviewer", unit="cards an interviewer and year",
       sizes=(YEAR_CARDS,), target=AT_LEAST, replicates=300)  # fmt: skip
def halo(rng: Generator, n: int, replicates: int) -> Rows:
    """Competencies on one interviewer's cards correlate .85, on the others' .55."""
    found = []
    for _ in range(replicates):
        flags = _habits(_year_of_ratings(rng, n, _healthy(rng, "even"), halo=0))
        found.append(flags["i0"] == "halo")
    yield happened("flagged as halo", found, stated="z ≈ 5")


# --- parity ----------------------------------------------------------------------

YEARS, FAMILIES = 3, (0.6, 0.3, 0.1)
APPLICATIONS = 20_000 / YEARS
STAGES = {"review": 0.24, "phone": 0.60, "technical": 0.50, "take-home": 0.5616,
          "offer": 0.30}  # fmt: skip
# Of all: a quarter decline to state; of the others 24 % are women.
_SEX = np.array([0.18, 0.57, 0.25])
_RACE = np.array([0.75 * share for share in (0.45, 0.22, 0.14, 0.11, 0.08)] + [0.25])


def _selections(rng: Generator, replicates: int, gap: dict[str, float]):
    """Entered and selected, shape (replicates, years, families + all, stages, 3, 6).

    Sex and race are independent; `gap` shifts women's scores at a stage in standard
    deviations. Everybody with a score above the stage's cut is selected.
    """
    shares = np.outer(_SEX, _RACE).ravel()
    now = np.stack(
        [
            rng.multinomial(round(APPLICATIONS * family), shares, (replicates, YEARS))
            for family in FAMILIES
        ],
        axis=2,
    ).reshape(replicates, YEARS, len(FAMILIES), 3, 6)
    entered, selected = [], []
    for name, rate in STAGES.items():
        cut = _common_cut(rate, gap.get(name, 0.0))
        # Who declines to state is a woman as often as anybody.
        women = norm.sf(cut - gap.get(name, 0.0))
        men = norm.sf(cut)
        by_sex = np.array([women, men, 0.24 * women + 0.76 * men])[:, None]
        passed = rng.binomial(now, np.broadcast_to(by_sex, now.shape))
        entered.append(now)
        selected.append(passed)
        now = passed
    both = [np.stack(parts, axis=3) for parts in (entered, selected)]
    return tuple(
        np.concatenate([x, x.sum(axis=2, keepdims=True)], axis=2) for x in both
    )


def _common_cut(rate: float, gap: float) -> float:
    """Cut at which a share of all passes when women, 24 %, trail by a gap."""
    grid = np.linspace(-4, 4, 16_001)
    share = 0.24 * norm.sf(grid - gap) + 0.76 * norm.sf(grid)
    return float(np.interp(-rate, -share, grid))


def _compared(n: Floats, s: Floats, policy: Policy) -> SimpleNamespace:
    """Each group against the best and against all others of its row; groups last."""
    code = np.repeat(np.arange(n[..., 0].size), n.shape[-1])
    shape, (n, s) = n.shape, (n.ravel(), s.ravel())
    reference = parity.reference_groups(
        s, n, slice_code=code, min_expected=policy.show_minimum_parity_expected
    )
    others = parity.all_others(s, n, slice_code=code)
    beside = {"other_selected": others.selected, "other_entered": others.entered}
    rate = np.bincount(code, s) / np.maximum(np.bincount(code, n), 1)
    least = np.minimum(n, reference.entered)
    shown = (least >= policy.show_minimum_parity_group) & (
        rate[code] * least >= policy.show_minimum_parity_expected
    )
    is_own = reference.row == np.arange(n.size)
    p = parity.selection_tests(s, n, **beside).mid_p
    company, year, family = np.indices(shape)[:3]
    is_pooled = family == len(FAMILIES)
    return SimpleNamespace(
        about={
            "selected": s,
            "entered": n,
            "reference_selected": reference.selected,
            "reference_entered": reference.entered,
            **beside,
        },
        p=np.where(shown & ~is_own, p, np.nan),
        family=(2 * (company * YEARS + year) + is_pooled).ravel(),
        shown=shown,
        shape=shape,
    )


def _evidence(entered: Floats, selected: Floats, policy: Policy) -> dict[str, Floats]:
    """The report's evidence words, by attribute; groups last.

    One family of tests holds the pooled rows of a year, another those by role family;
    groups of both attributes have two of their own.
    """
    counts = (entered, selected)
    tables = {
        "sex": _compared(*(x.sum(axis=-1)[..., :2] for x in counts), policy),
        "race": _compared(*(x.sum(axis=-2)[..., :5] for x in counts), policy),
        "both": _compared(
            *(x[..., :2, :5].reshape(*x.shape[:-2], 10) for x in counts), policy
        ),
    }
    q = benjamini_hochberg(
        np.concatenate([table.p for table in tables.values()]),
        np.concatenate(
            [2 * table.family + (name == "both") for name, table in tables.items()]
        ),
    )
    words, start = {}, 0
    for name, table in tables.items():
        own = q[start : start + table.p.size]
        start += table.p.size
        found = parity.evidence(**table.about, q=own, alpha=policy.false_discovery_rate)
        words[name] = np.where(table.shown, found, "insufficient").reshape(table.shape)
    return words


def _any(words: dict[str, Floats], word: str, attributes: Sequence[str]) -> Flags:
    """Companies where the word stands anywhere, in any year."""
    hits = [
        np.char.startswith(part, word).reshape(len(part), -1).any(axis=1)
        for part in (words[name] for name in attributes)
    ]
    return np.any(hits, axis=0)


@study("alarms", "Parity", unit="applications", sizes=(20_000,), **ALARM)
def parity_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """Three years, three role families and all, five stages; two sexes, five races, and
    both together, on which no rule acts; nobody is treated unlike anybody."""
    words = _evidence(*_selections(rng, replicates, {}), Policy())
    year = {name: part[:, :1] for name, part in words.items()}
    pooled = {name: part[:, :, -1:] for name, part in year.items()}
    for where, part, families in (
        ("one year, all families pooled", pooled, 1),
        ("one year, any row", year, 2),
        ("three years, any row", words, 2 * YEARS),
    ):
        # A rule reads one year; over three there are six families, each at 5 %.
        note = f"families of tests: {families}"
        is_judged = families < 2 * YEARS
        for word in ("review", "watch_significance"):
            found = _any(part, word, ("sex", "race"))
            yield happened(f"`{word}`, {where}", found, note=note,
                           is_judged=is_judged)  # fmt: skip
        yield happened(f"`review` of both together, {where}",
                       _any(part, "review", ("both",)), note=note,
                       is_judged=False)  # fmt: skip
    yield happened(
        "`watch_ratio`, one year, all families pooled",
        _any(pooled, "watch_ratio", ("sex", "race")),
        note="four fifths alone, without a test", is_judged=False,
    )  # fmt: skip


@study("power", "Selection gap", unit="applications", sizes=(20_000,), **POWER)
def selection_gap(rng: Generator, n: int, replicates: int) -> Rows:
    """Women's scores at the technical stage trail: as a single test, and as the report
    has it, where q is over all pooled tests of the year."""
    for gap, stated in ((-0.45, ".93"), (-0.35, ".72")):
        counts = _selections(rng, replicates, {"technical": gap})
        place = list(STAGES).index("technical")
        n_now, s_now = (x[:, 0, -1, place, :2].sum(axis=-1) for x in counts)
        alone = parity.selection_tests(
            s_now[:, 0], n_now[:, 0], other_selected=s_now[:, 1],
            other_entered=n_now[:, 1],
        )  # fmt: skip
        yield happened(
            f"{gap} SD: ratio below .8 and mid-p < .05, a single test",
            (alone.mid_p < 0.05)
            & (5 * s_now[:, 0] * n_now[:, 1] < 4 * s_now[:, 1] * n_now[:, 0]),
            stated=stated,
            note=f"women and men a year: {n_now.mean(axis=0).round()}",
        )
        words = _evidence(*counts, Policy())
        here = words["sex"][:, 0, -1, place, 0]
        yield happened(f"{gap} SD: `review` in one year", here == "review",
                       stated=stated)  # fmt: skip
        everywhere = words["sex"][:, :, -1, place, 0]
        yield happened(f"{gap} SD: `review` in any of three years",
                       (everywhere == "review").any(axis=1))  # fmt: skip


# --- score gaps ------------------------------------------------------------------


@study("alarms", "DIF of class C", unit="applications", sizes=(20_000,), target=AT_MOST,
       replicates=500)  # fmt: skip
def dif_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """A year of three rounds of four competencies by five races and two sexes, all
    families and each; without any gap, and with women half a standard deviation behind
    in everything, which is no bias of a single competency."""
    for gap in (0.0, -0.5):
        hits = np.array([_dif_found(rng, gap) for _ in range(replicates)])
        for place, (name, is_judged, note) in enumerate(
            (
                ("class C, before control", False, "not acted upon"),
                ("class C with q < .05", False, "below 200 people no class is shown"),
                ("the same, 200 people a side", True, "what is shown"),
            )
        ):
            yield happened(f"{name}, gap {gap:g}", hits[:, place], note=note,
                           is_judged=is_judged)  # fmt: skip


def _dif_found(rng: Generator, gap: float) -> tuple[bool, bool, bool]:
    """Whether a company has a row of class C, one that stands by its q, a large one."""
    scores, totals, focal, slices, q_family, size = [], [], [], [], [], 0
    for entered in (1_600, 960, 374):
        sex = rng.choice(3, entered, p=_SEX)
        race = rng.choice(6, entered, p=_RACE)
        family = rng.choice(3, entered, p=FAMILIES)
        true = (
            rng.normal(0, np.sqrt(_SHARED), (entered, 1))
            + gap * SD * (sex == 0)[:, None]
        )
        rest = np.sqrt(_HALO) * rng.normal(size=(entered, 1))
        alone = np.sqrt(_OWN + _REST) * rng.normal(size=(entered, COMPETENCIES))
        score = np.digitize(MEAN + true + rest + alone, CUTS) + 1
        total = score.mean(axis=1)
        for group, reference, codes in (
            (0, 1, sex), *((g, 0, race) for g in range(1, 5)),
        ):  # fmt: skip
            for among in (None, 0, 1, 2):
                chosen = (codes == group) | (codes == reference)
                chosen &= True if among is None else family == among
                side = codes[chosen] == group
                if min(side.sum(), (~side).sum()) < gaps.GAP_MIN:
                    continue
                for part in score[chosen].T:
                    scores.append(part)
                    totals.append(total[chosen])
                    focal.append(side)
                    slices.append(np.full(side.size, size))
                    q_family.append(2 * (codes is sex) + (among is not None))
                    size += 1
    found = gaps.mantel_dif(
        np.concatenate(scores),
        np.concatenate(totals),
        is_focal=np.concatenate(focal),
        slice_code=np.concatenate(slices),
        n_slices=size,
    )
    is_c = found.category == "CC"
    stands = is_c & (benjamini_hochberg(found.p, np.array(q_family)) < 0.05)
    least = np.minimum(found.n_focal, found.n_reference)
    is_large = least >= gaps.DIF_ACTION_MIN
    return bool(is_c.any()), bool(stands.any()), bool((stands & is_large).any())


# --- flow ------------------------------------------------------------------------


@study("alarms", "Backlog growth", unit="weeks", sizes=(13, 52), target=AT_MOST,
       replicates=2_000)  # fmt: skip
def growth_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """A stage with 18 arrivals and 18 departures a week, independent Poisson counts;
    one-sided p of growth, before control over stages. The share is of stages."""
    counts = rng.poisson(18.0, (2, replicates, n))
    found = backlog_growth(counts[0], counts[1])
    for level in (0.05, 0.005):
        yield happened(
            f"growth with p < {level:g}", found.p < level, is_judged=level == 0.05,
            note="" if level == 0.05 else f"{level:.1%} would be right",
        )  # fmt: skip


# --- rubrics, stages and rounds --------------------------------------------------


@study("power", "Vague competency", unit="candidates with two raters", sizes=(157,),
       **POWER)  # fmt: skip
def vague(rng: Generator, n: int, replicates: int) -> Rows:
    """Reliability .17, SD 1.1 on five levels; the lower bound of the mean difference of
    a pair exceeds .21 of the scale (rule R1). A healthy competency beside it."""
    for name, reliability, sd, stated in (
        ("vague", 0.17, 1.1, ".94"),
        ("healthy (a false alarm)", RELIABILITY, SD, "rare"),
    ):
        true = np.sqrt(reliability) * sd * rng.normal(size=(replicates * n, 1))
        noise = np.sqrt(1 - reliability) * sd * rng.normal(size=(true.size, 2))
        given = np.digitize(MEAN + true + noise, CUTS)
        unit = np.repeat(np.arange(len(given)), 2)
        pairs = agreement.coincidences(
            given.ravel(), unit, unit // n, n_levels=N_LEVELS, n_groups=replicates
        )
        low, _ = agreement.bootstrap(
            pairs, chosen=np.ones(replicates, bool), replicates=1_000, rng=rng
        )
        is_found = low.mean_difference / (N_LEVELS - 1) > 0.21
        seen = agreement.agreement(pairs).mean_difference.mean() / (N_LEVELS - 1)
        yield happened(f"{name}: lower bound above .21", is_found, stated=stated,
                       note=f"mean difference {seen:.3f}")  # fmt: skip


@study("power", "Slow stage", unit="weeks", sizes=(13,), **POWER)
def slow_stage(rng: Generator, n: int, replicates: int) -> Rows:
    """18 arrivals a week at the technical stage; capacity 30 % and 10 % below them."""
    for less, stated in ((0.3, "z 3.5"), (0.1, "z 1.1")):
        arrived = rng.poisson(18.0, (replicates, n))
        left = rng.poisson(18.0 * (1 - less), (replicates, n))
        found = backlog_growth(arrived, left)
        z = found.estimate / ((found.high - found.low) / (2 * Z95))
        yield happened(f"capacity −{less:.0%}: growth with p < .05", found.p < 0.05,
                       stated=stated, note=f"median z {np.median(z):.1f}")  # fmt: skip


@study("power", "Take-home drop-off", unit="candidates a side", sizes=(350,), **POWER)
def drop_off(rng: Generator, n: int, replicates: int) -> Rows:
    """15 % do not return the take-home, then 33 %; Newcombe's interval excludes 0."""
    now, before = rng.binomial(n, 0.33, replicates), rng.binomial(n, 0.15, replicates)
    found = newcombe_difference(now, n, other_passed=before, other_entered=n)
    pooled = (now + before) / (2 * n)
    z = (now - before) / n / np.sqrt(pooled * (1 - pooled) * 2 / n)
    yield happened("more than before", found.low > 0, stated="z 5.7",
                   note=f"median z {np.median(z):.1f}")  # fmt: skip


def _loop(rng: Generator, n: int, matrix: Floats, true_sd: Floats):
    """Statistics of four rounds taken by n candidates, as the report forms them."""
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0))
    true = rng.normal(size=(n, len(matrix))) @ root.T * true_sd
    scores, reliability, se, high, more, cards = [], [], [], [], [], []
    for place in range(len(matrix)):
        pairs = rng.random((n, INTERVIEWERS // 4)).argpartition(1, axis=1)[:, :2]
        kept = np.ones((n, 2), dtype=bool)
        kept[:, 1] = rng.random(n) < 0.6
        candidate, _ = np.nonzero(kept)
        interviewer = pairs[kept]
        score = true[candidate, place] + 0.2 * rng.normal(size=9)[interviewer]
        score = score + np.sqrt(1 - RELIABILITY) * SD * rng.normal(size=candidate.size)
        fit = crossed.components(score, candidate, interviewer)
        k = crossed.k_harmonic(candidate, interviewer)
        q = crossed.q_overlap(candidate, interviewer)
        bounds = crossed.intervals(fit, q_overlap=q, k_harmonic=k)
        scores.append(np.bincount(candidate, score) / np.bincount(candidate))
        reliability.append(crossed.g_qk(fit, q, k))
        se.append((bounds.g_high - bounds.g_low) / (2 * Z95))
        high.append(bounds.g_high)
        more.append(crossed.g_with(fit, k + 2))
        own = interviewer_effects(fit, interviewer)
        cards.append((score - own, candidate, np.full(candidate.size, place)))
    return (np.array(scores).T, np.array(reliability), np.array(se), np.array(high),
            np.array(more), map(np.concatenate, zip(*cards, strict=True)))  # fmt: skip


def _most_alike(cards: Iterable[Floats], size: int) -> tuple[Floats, Floats, Flags]:
    """True correlation of each round with the one it resembles most, its lower bound,
    and whether that makes it redundant."""
    found = true_correlations(*cards, n_rounds=size)
    off = np.where(np.eye(size, dtype=bool), -np.inf, np.nan_to_num(found.estimate))
    at = (np.arange(size), off.argmax(axis=1))
    estimate, low, limits = found.estimate[at], found.low[at], rounds.Thresholds()
    is_alike = (estimate >= limits.redundancy) & (low > limits.redundancy_low)
    return estimate, low, is_alike


def _verdicts(rng: Generator, n: int, matrix: Floats, true_sd: Floats):
    """The report's verdict on each round, and reliabilities with and without it."""
    scores, reliability, se, high, more, cards = _loop(rng, n, matrix, true_sd)
    covariance = np.cov(scores, rowvar=False)
    added = rounds.marginal_reliability(covariance, reliability, n, reliability_se=se)
    size = len(matrix)
    estimate, low, is_alike = _most_alike(cards, size)
    flips = rounds.flip_rate(scores, pass_rate=[0.3], group=people(n, 1))
    never = np.zeros(size, dtype=bool)
    words = rounds.verdict(
        rounds.RoundStatistics(
            n_candidates=np.full(size, n),
            reliability_high=high,
            reliability_with_more=more,
            marginal_high=added.high,
            flip_rate=flips.estimate[0],
            delta_r2_p=np.full(size, np.nan),
            redundancy=estimate,
            redundancy_low=low,
            borderline_share=np.full(size, 0.2),
            is_sole_cover=never,
            is_other_sole_cover=never,
        ),
        rounds.Thresholds(n_candidates=Policy().act_minimum_candidates),
    )
    return words, added, is_alike


def _between(alike: float = 0.55) -> Floats:
    matrix = np.full((4, 4), 0.55)
    matrix[0, 1] = matrix[1, 0] = alike
    np.fill_diagonal(matrix, 1)
    return matrix


_TRUE_SD = np.full(4, np.sqrt(RELIABILITY) * SD)


@study("power", "Redundant rounds", unit="candidates of all rounds a year",
       sizes=(262,), **POWER)  # fmt: skip
def redundant(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of four rounds measure the same; nine interviewers a round, two raters on
    three candidates of five; estimate at least .90 and lower bound above .70."""
    drawn = [_verdicts(rng, n, _between(1.0), _TRUE_SD) for _ in range(replicates)]
    yield happened("true correlation 1.0 found", [d[2][0] for d in drawn], stated=".89")
    yield happened("verdict `merge` on one of the two",
                   [(d[0][:2] == rounds.MERGE).any() for d in drawn])  # fmt: skip


@study("alarms", "Verdicts on rounds", unit="candidates of all rounds a year",
       sizes=(262,), target=AT_MOST, replicates=500)  # fmt: skip
def verdict_alarms(rng: Generator, n: int, replicates: int) -> Rows:
    """Four healthy rounds of true correlation .55, in one year; a rule asks for two."""
    drawn = [_verdicts(rng, n, _between(), _TRUE_SD)[0] for _ in range(replicates)]
    for word in (rounds.MERGE, rounds.DROP):
        yield happened(f"any verdict `{word}`", [(w == word).any() for w in drawn])


@study("alarms", "Rounds alike but not the same", unit="candidates of all rounds",
       sizes=(100, 262), target=AT_MOST, replicates=500)  # fmt: skip
def nearly_redundant(rng: Generator, n: int, replicates: int) -> Rows:
    """Two of four rounds have the true correlation named, the others .55; as
    redundant count an estimate of at least .90 with a lower bound above .70."""
    for alike in (0.70, 0.75, 0.80, 0.85, 0.90):
        is_limit = alike == rounds.Thresholds().redundancy_low
        drawn = [
            _most_alike(_loop(rng, n, _between(alike), _TRUE_SD)[-1], 4)[-1][0]
            for _ in range(replicates)
        ]
        yield happened(
            f"true correlation {alike:.2f} called redundant", drawn, is_judged=is_limit,
            note="" if is_limit else "above .70, so not false by the lower bound",
        )  # fmt: skip


@study("power", "Round without signal", unit="candidates of all rounds a year",
       sizes=(262,), **POWER)  # fmt: skip
def no_signal(rng: Generator, n: int, replicates: int) -> Rows:
    """The last of four rounds has a reliability of .03."""
    true_sd = _TRUE_SD.copy()
    true_sd[3] = np.sqrt(0.03 / 0.97 * (1 - RELIABILITY)) * SD
    drawn = [_verdicts(rng, n, _between(), true_sd) for _ in range(replicates)]
    whole = np.median([d[1].with_all for d in drawn])
    without = np.median([d[1].without[3] for d in drawn])
    yield happened("verdict `drop_candidate`", [d[0][3] == rounds.DROP for d in drawn],
                   stated="composite .64 → .75",
                   note=f"composite {whole:.2f} → {without:.2f}")  # fmt: skip
    yield happened("another round is called a `drop_candidate`",
                   [(d[0][:3] == rounds.DROP).any() for d in drawn],
                   stated="never", note="a false alarm")  # fmt: skip


# --- whole runs ------------------------------------------------------------------

FIRST_SEED, COMPANIES = 1_001, 100
NULL = "companies: Null company"
# What a recommendation depends on.
COMPANY_CODE = (
    "orchestration/settings.py", "orchestration/simulation", "orchestration/estimates",
    "orchestration/statistics", "orchestration/recommendations", "dbt_project/models",
    "dbt_project/macros",
)  # fmt: skip


@study("companies", "Null company", unit="seed", target=AT_MOST, replicates=1,
       sizes=tuple(range(FIRST_SEED, FIRST_SEED + COMPANIES)),
       also=COMPANY_CODE)  # fmt: skip
def null_company(rng: Generator, n: int, replicates: int) -> Rows:
    """The preset `dev_null` simulated with the seed and run whole, without sites."""
    import pyarrow.parquet as pq

    from orchestration.defs.launch import launch_main
    from orchestration.settings import Home
    from orchestration.simulation import simulate_home

    # Named for the process that began it all, which clears away what is left.
    place = MEMORY if MEMORY.is_dir() else None
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getppid()}-", dir=place)
    try:
        home = Home(Path(folder))
        simulate_home(home, "dev_null", seed=n)
        outcome = launch_main(home, as_of=None, sites=False, rebuild=False)
        if not outcome.success:
            raise RuntimeError(f"seed {n}: {outcome.failures} {outcome.gate_failures}")
        published = home.current / "published" / "committee"
        rows = pq.read_table(published / "rubric_recommendations.parquet").to_pylist()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield {
        "seed": n,
        "rules": sorted(row["rule_id"] for row in rows if row["is_action"]),
        "n_rows": len(rows),
    }


def more_companies(n: int) -> None:
    """Extend the null companies to n seeds."""
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + n))
    STUDIES[NULL] = replace(STUDIES[NULL], sizes=seeds)


def clear_away() -> None:
    """Delete what runs that were ended left behind."""
    place = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    for folder in place.glob(f"{PREFIX}{os.getpid()}-*"):
        shutil.rmtree(folder, ignore_errors=True)
