"""`make bench-statistics`: our estimators beside their peers, in speed and in value.

Writes `docs/benchmarks-statistics.md`. Every part is a process of its own, in which
ours and the peer's calls alternate. Options: `--skip tables` leaves parts out,
`--home HOME` takes a home whose company of 1M applications is simulated already,
`--answers FOLDER` keeps what each part found and measures only what is not there.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "benchmarks-statistics.md"
VERSIONS = ("numpy", "scipy", "pandas", "pingouin", "krippendorff", "statsmodels",
            "duckdb")  # fmt: skip
# Peers that pin libraries older than ours.
APART = ("irrCAC==0.4.4", "lifelines==0.30.3")
APART_PYTHON = ">=3.11,<3.13"

GROUPS, CANDIDATES, RATERS, LEVELS = 20_000, 10, 3, 5
MISSING = 0.2
# Ours at once would take half as long again: more than a core's cache holds.
BATCH = 1_000
ROUNDS = 5
# Groups that each peer is run for: some seconds each.
LOOPED = {"pingouin": 250, "krippendorff": 2_000, "statsmodels": 2_000, "irrCAC": 250}

# Which function makes which table of the design.
TABLES = {
    "rater_reliability": "T1",
    "reliability_crosscheck": "T1",
    "interviewer_calibration": "T2",
    "interviewer_drift": "T3",
    "funnel": "T4",
    "time_to_hire": "T4",
    "offer_acceptance": "T4",
    "bottlenecks": "T5",
    "adverse_impact": "T6",
    "score_gaps": "T7",
    "predictive_validity": "T8",
    "round_signal": "T9",
}

# Where one application is a row, or is counted in a row.
_BY_APPLICATION = ("fct_applications", "fct_ratings", "fct_scorecards",
                   "fct_stage_outcomes", "fct_stage_visits")  # fmt: skip
_BY_WINDOW = {"fct_selection_counts": "n_withdrew", "fct_score_counts": "n"}

LME4 = """
suppressMessages(library(lme4))
file <- commandArgs(TRUE)[1]
ratings <- read.csv(file)
ratings$candidate <- factor(ratings$candidate)
ratings$interviewer <- factor(ratings$interviewer)
model <- score ~ 1 + (1 | candidate) + (1 | interviewer)
seconds <- sapply(1:3, function(i) {
  spent <- system.time(lmer(model, ratings))
  spent[["user.self"]] + spent[["sys.self"]]
})
fine <- lmerControl(calc.derivs = FALSE,
                    optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12))
fit <- lmer(model, ratings, control = fine)
found <- as.data.frame(VarCorr(fit))
values <- setNames(found$vcov, found$grp)
cat(sprintf(
  '{"seconds": %.17g, "criterion": %.17g, "candidate": %.17g, "interviewer": %.17g,
    "resid": %.17g, "version": "%s"}',
  median(seconds), REMLcrit(fit), values["candidate"], values["interviewer"],
  values["Residual"], packageVersion("lme4")))
"""

Part = dict[str, Any]


def _spent(work: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _beside(
    ours: Callable[[], object], peer: Callable[[int], object], looped: int, of: int
) -> dict[str, float]:
    """Median processor seconds for all groups; the peer's extrapolated from some."""
    ours()
    mine, theirs = [], []
    for groups in np.array_split(np.arange(looped), ROUNDS):
        mine.append(_spent(ours))
        spent = _spent(lambda groups=groups: [peer(int(group)) for group in groups])
        theirs.append(spent / groups.size * of)
    return {
        "ours": statistics.median(mine),
        "peer": statistics.median(theirs),
        "looped": looped,
    }


def _speed(measure: str, peer: str, found: dict[str, float], target: float) -> Part:
    return {"measure": measure, "peer_name": peer, "target": target, **found}


def _equal(
    peer: str, what: str, ours: Any, theirs: Any, tolerance: float, why: str = ""
) -> Part:
    """The largest difference over values that both hold; NaN must meet NaN."""
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        raise SystemExit(
            f"{peer}, {what}: one side has a value where the other has none"
        )
    return {
        "peer_name": peer,
        "what": what,
        "n": int(np.count_nonzero(~np.isnan(a))),
        "difference": float(np.nanmax(np.abs(a - b))),
        "tolerance": tolerance,
        "why": why,
    }


def _ratings() -> tuple[np.ndarray, np.ndarray]:
    """Ratings from 1 to 5 by group, candidate and rater, and which of them are kept."""
    rng = np.random.default_rng(1)
    shape = (GROUPS, CANDIDATES, RATERS)
    merit = rng.normal(size=(GROUPS, CANDIDATES, 1))
    severity = rng.normal(size=(GROUPS, 1, RATERS))
    score = 3 + 0.7 * merit + 0.3 * severity + 0.7 * rng.normal(size=shape)
    kept = rng.random(shape) >= MISSING
    return np.clip(np.rint(score), 1, LEVELS), kept


def _batches(
    call: Callable[[slice, np.ndarray, int], Any], group: np.ndarray, size: int = BATCH
) -> list[Any]:
    """A call for every so many groups: its rows, their groups from 0, how many."""
    ends = np.searchsorted(group, np.arange(0, GROUPS + 1, size))
    return [
        call(slice(start, end), group[start:end] - place * size, size)
        for place, (start, end) in enumerate(pairwise(ends.tolist()))
    ]


def _panels(_: Path) -> Part:
    """Intraclass correlations, alpha and kappa of 20,000 groups."""
    import krippendorff
    import pandas as pd
    import pingouin
    from statsmodels.stats.inter_rater import cohens_kappa

    from orchestration.statistics import agreement as ours

    warnings.simplefilter("ignore")
    blocks, kept = _ratings()
    group, unit, _rater = np.nonzero(kept)
    value, level = blocks[kept], blocks[kept].astype(np.int64) - 1
    gapped = np.where(kept, blocks, np.nan)
    candidate, rater = np.indices((CANDIDATES, RATERS)).reshape(2, -1)
    frames = [
        pd.DataFrame({"candidate": candidate, "rater": rater, "score": block.ravel()})
        for block in blocks[: LOOPED["pingouin"]]
    ]
    first, second = (blocks[..., side].astype(np.int64).ravel() - 1 for side in (0, 1))
    owner = np.repeat(np.arange(GROUPS), CANDIDATES)

    def one_way(rows: slice, own: np.ndarray, n: int) -> ours.OneWay:
        return ours.one_way(value[rows], unit[rows], own, n_groups=n)

    def interval(rows: slice, own: np.ndarray, n: int) -> np.ndarray:
        return ours.alpha_interval(
            ours.candidate_sums(value[rows], unit[rows], own, n_groups=n)
        )

    def ordinal(rows: slice, own: np.ndarray, n: int) -> np.ndarray:
        pairs = ours.coincidences(
            level[rows], unit[rows], own, n_levels=LEVELS, n_groups=n
        )
        return ours.alpha(pairs, metric="ordinal")

    alphas = {"interval": interval, "ordinal": ordinal}

    def six_forms() -> ours.SixForms:
        return ours.complete_blocks(blocks)

    def tables() -> np.ndarray:
        return ours.pair_tables(first, second, owner, n_levels=LEVELS, n_groups=GROUPS)

    def by_pingouin(place: int) -> pd.DataFrame:
        return pingouin.intraclass_corr(frames[place], "candidate", "rater", "score")

    def by_krippendorff(metric: str, place: int) -> float:
        return krippendorff.alpha(gapped[place].T, level_of_measurement=metric)

    own_tables = tables()
    n_icc, n_alpha = LOOPED["pingouin"], LOOPED["krippendorff"]
    n_kappa = LOOPED["statsmodels"]
    speed = [
        _speed(
            "ICC(1) with interval, 20 % missing; the peer on complete blocks",
            "pingouin",
            _beside(lambda: _batches(one_way, group), by_pingouin, n_icc, GROUPS),
            5_000,
        ),
        _speed(
            "six ICC forms with intervals, complete blocks",
            "pingouin",
            _beside(six_forms, by_pingouin, n_icc, GROUPS),
            0,
        ),
    ]
    for metric, call in alphas.items():
        peer = _beside(
            lambda call=call: _batches(call, group),
            lambda place, metric=metric: by_krippendorff(metric, place),
            n_alpha,
            GROUPS,
        )
        speed.append(_speed(f"alpha, {metric}, 20 % missing", "krippendorff", peer, 50))
    kappas = _beside(
        lambda: ours.cohen_kappa(tables(), weights="quadratic"),
        lambda i: cohens_kappa(own_tables[i], wt="quadratic"),
        n_kappa,
        GROUPS,
    )
    speed.append(_speed("quadratic kappa with errors", "statsmodels", kappas, 0))

    forms, icc = six_forms(), [by_pingouin(place) for place in range(n_icc)]
    kappa = ours.cohen_kappa(own_tables[:n_kappa], weights="quadratic")
    theirs = [cohens_kappa(table, wt="quadratic") for table in own_tables[:n_kappa]]
    bounds = np.array([np.stack(frame["CI95"]) for frame in icc])
    equal = [
        _equal("pingouin", "six ICC forms", forms.estimate[:n_icc],
               [frame["ICC"] for frame in icc], 1e-9),
        _equal("pingouin", "their F ratios", forms.f[:n_icc],
               [frame["F"] for frame in icc], 1e-9),
        _equal("pingouin", "their intervals",
               np.stack([forms.low, forms.high], axis=-1)[:n_icc], bounds,
               0.005, "rounded to 2 decimals"),
        *(
            _equal("krippendorff", f"alpha, {metric}",
                   np.concatenate(_batches(call, group))[:n_alpha],
                   [by_krippendorff(metric, place) for place in range(n_alpha)], 1e-9)
            for metric, call in alphas.items()
        ),
        _equal("statsmodels", "quadratic kappa", kappa.estimate,
               [one.kappa for one in theirs], 1e-9),
        _equal("statsmodels", "its error and null error", [kappa.se, kappa.se_null],
               [[one.std_kappa for one in theirs],
                [one.std_kappa0 for one in theirs]], 1e-9),
    ]  # fmt: skip
    return {"speed": speed, "equal": equal}


def _peers_apart(work: Path) -> Part:
    """Gwet's coefficients beside irrCAC, and a tied sample by lifelines."""
    from orchestration.statistics import agreement as ours

    blocks, kept = _ratings()
    group, unit, rater = np.nonzero(kept)
    level = blocks[kept].astype(np.int64) - 1
    looped = LOOPED["irrCAC"]
    few = slice(0, int(np.searchsorted(group, looped)))

    def coefficients(
        rows: slice, own: np.ndarray, n: int, weights: str = "quadratic"
    ) -> ours.ChanceCorrected:
        pairs = ours.coincidences(
            level[rows], unit[rows], own, n_levels=LEVELS, n_groups=n
        )
        return ours.chance_corrected(pairs, LEVELS, weights=weights)

    def spent() -> list[float]:
        return [_spent(lambda: _batches(coefficients, group)) for _ in range(ROUNDS)]

    before = spent()
    theirs = _by_peers_apart(work, np.where(kept, blocks, np.nan)[:looped])
    if "reason" in theirs:
        return {"skipped": f"irrCAC and lifelines were not run: {theirs['reason']}"}
    after = spent()
    mine = coefficients(few, group[few], looped)
    ordinal = coefficients(few, group[few], looped, weights="ordinal")
    conger = ours.conger_kappa(
        level[few], unit[few], rater[few], group[few],
        n_levels=LEVELS, n_groups=looped, weights="quadratic",
    )  # fmt: skip
    by_name = {
        "gwet": mine.gwet,
        "fleiss": mine.fleiss,
        "bp": mine.brennan_prediger,
        "krippendorff": mine.alpha,
        "conger": conger,
    }
    titles = {"gwet": "AC2", "fleiss": "Fleiss' kappa", "bp": "Brennan-Prediger",
              "krippendorff": "alpha, quadratic weights", "conger": "Conger's kappa",
              }  # fmt: skip
    equal = [
        _equal("irrCAC", f"{titles[name]} and its error",
               [own.estimate, own.se],
               [theirs[name]["value"], theirs[name]["se"]], 1e-9)
        for name, own in by_name.items()
    ]  # fmt: skip
    equal.append(
        _equal("irrCAC", "alpha, Gwet's `ordinal` weights",
               ordinal.alpha.estimate, theirs["ordinal"], 1e-9,
               "not Krippendorff's ordinal alpha")
    )  # fmt: skip
    speed = {
        "ours": statistics.median(before + after),
        "peer": theirs["seconds"] / looped * GROUPS,
        "looped": looped,
    }
    measure = "five coefficients with errors, 20 % missing; of the peer AC2 alone"
    return {
        "speed": [_speed(measure, "irrCAC", speed, 500)],
        "equal": equal,
        "tied": theirs["tied"],
        "versions": theirs["versions"],
    }


def _by_peers_apart(work: Path, tables: np.ndarray) -> Part:
    """What peers say in an environment of their own, or the reason they say nothing."""
    uv = next((str(p) for p in [ROOT / ".uv/bin/uv"] if p.is_file()), None)
    uv = uv or shutil.which("uv")
    if uv is None:
        return {"reason": "uv is not there to make their environment"}
    python, data = work / "apart" / "bin" / "python", work / "tables.npy"
    np.save(data, tables)
    steps = [
        [uv, "venv", "--quiet", "--no-python-downloads", "--python", APART_PYTHON,
         str(work / "apart")],
        [uv, "pip", "install", "--quiet", "--python", str(python), *APART],
        [str(python), __file__, "--apart", str(data)],
    ]  # fmt: skip
    done = None
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            return {"reason": f"{' '.join(APART)}: {last}"}
    found: Part = json.loads(done.stdout) if done else {}
    return found


def _say_apart(data: Path) -> None:
    """Print as JSON what irrCAC and lifelines make of the tables; in their Python."""
    import pandas as pd
    from irrCAC.raw import CAC
    from lifelines import AalenJohansenFitter

    warnings.simplefilter("ignore")
    raters = [f"rater{number}" for number in range(RATERS)]
    frames = [pd.DataFrame(table, columns=raters) for table in np.load(data)]
    levels = [float(level) for level in range(1, LEVELS + 1)]

    def coefficients(frame: pd.DataFrame, weights: str, digits: int) -> CAC:
        return CAC(frame, weights=weights, categories=levels, digits=digits)

    started = time.process_time()
    for frame in frames:
        coefficients(frame, "quadratic", 5).gwet()
    found: Part = {"seconds": time.process_time() - started}
    for name in ("gwet", "fleiss", "bp", "krippendorff", "conger"):
        rows = [
            getattr(coefficients(frame, "quadratic", 16), name)()["est"]
            for frame in frames
        ]
        found[name] = {
            "value": [row["coefficient_value"] for row in rows],
            "se": [row["se"] for row in rows],
        }
    found["ordinal"] = [
        coefficients(frame, "ordinal", 16).krippendorff()["est"]["coefficient_value"]
        for frame in frames
    ]
    # Ten cases in four weeks: cause 1, cause 2, or open.
    weeks = [1, 1, 1, 2, 2, 2, 2, 3, 3, 4]
    cause = [1, 2, 0, 1, 1, 2, 0, 2, 1, 0]
    found["tied"] = [
        float(
            AalenJohansenFitter(seed=seed)
            .fit(weeks, cause, event_of_interest=1)
            .cumulative_density_.iloc[-1, 0]
        )
        for seed in (1, 2, 3)
    ]
    found["versions"] = {
        name: metadata.version(name) for name in ("irrCAC", "lifelines", "scipy")
    }
    print(json.dumps(found))


def _crossed_panel(
    n_candidates: int, n_interviewers: int, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of candidates who met up to `most` interviewers each, none twice."""
    rng = np.random.default_rng(seed)
    met = rng.integers(1, most + 1, n_candidates)
    candidate = np.repeat(np.arange(n_candidates), met)
    interviewer = rng.integers(n_interviewers, size=candidate.size)
    pairs = np.unique(candidate * n_interviewers + interviewer)
    candidate, interviewer = pairs // n_interviewers, pairs % n_interviewers
    score = (
        3
        + 0.6 * rng.normal(size=n_candidates)[candidate]
        + 0.3 * rng.normal(size=n_interviewers)[interviewer]
        + 0.7 * rng.normal(size=candidate.size)
    )
    return score, candidate, interviewer


def _crossed(work: Path) -> Part:
    """Crossed REML beside lme4, and beside statsmodels on a panel it can take."""
    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM

    from orchestration.statistics.crossed import Components, components

    warnings.simplefilter("ignore")
    small = _crossed_panel(150, 12, 4, seed=2)
    names = ("score", "candidate", "interviewer")
    frame = pd.DataFrame(dict(zip(names, small, strict=True)))

    def by_statsmodels(_: int) -> Any:
        return MixedLM.from_formula(
            "score ~ 1",
            frame,
            groups=np.ones(len(frame)),
            vc_formula={"a": "0 + C(candidate)", "b": "0 + C(interviewer)"},
        ).fit(reml=True, method="lbfgs", pgtol=1e-10, factr=10)

    def ours(panel: tuple[np.ndarray, ...]) -> Components:
        return components(*panel, cand_x_int=False)

    n = small[0].size
    speed = [
        _speed(
            f"crossed REML, {n} ratings, 12 interviewers",
            "statsmodels",
            _beside(lambda: ours(small), by_statsmodels, ROUNDS, 1),
            0,
        )
    ]
    theirs, mine = by_statsmodels(0), ours(small)
    equal = [
        _equal("statsmodels", f"REML criterion, {n} ratings", mine.reml_criterion,
               -2 * theirs.llf, 1e-6, "its search stops there"),
        _equal("statsmodels", "its three variances", _variances(mine),
               [*theirs.vcomp, theirs.scale], 1e-3, "its search stops there"),
    ]  # fmt: skip
    # As large as lme4's criterion is computed by us too, then as large as was promised.
    middle = _crossed_panel(2_000, 40, 4, seed=3)
    large = _crossed_panel(20_000, 360, 4, seed=4)
    limits, skipped = [], ""
    for panel, target in ((middle, 0), (large, 5)):
        n = panel[0].size
        ours(panel)
        wall = time.perf_counter()
        spent = [_spent(lambda panel=panel: ours(panel)) for _ in range(ROUNDS)]
        wall = (time.perf_counter() - wall) / ROUNDS
        fitted, mine = _by_lme4(work, panel), ours(panel)
        if target:
            limits.append(
                {"measure": f"crossed REML, {n:,} ratings", "target": 0.5,
                 "figure": statistics.median(spent), "unit": " s", "wall": wall}
            )  # fmt: skip
        if "reason" in fitted:
            skipped = f"lme4 was not run: {fitted['reason']}"
            continue
        widest = int(panel[2].max()) + 1
        speed.append(
            _speed(
                f"crossed REML, {n:,} ratings, {widest} interviewers",
                f"lme4 {fitted['version']}",
                {"ours": statistics.median(spent), "peer": fitted["seconds"],
                 "looped": 1},
                target,
            )
        )  # fmt: skip
        if np.isfinite(mine.reml_criterion):
            equal.append(
                _equal("lme4", f"REML criterion, {n:,} ratings", mine.reml_criterion,
                       fitted["criterion"], 1e-6, "its search stops there")
            )  # fmt: skip
        equal.append(
            _equal("lme4", f"three variances, {n:,} ratings", _variances(mine),
                   [fitted[k] for k in ("candidate", "interviewer", "resid")], 1e-4,
                   "its search stops short; ours, without factors, within .005"
                   " standard errors")
        )  # fmt: skip
    return {"speed": speed, "equal": equal, "limits": limits, "skipped": skipped}


def _variances(fit: Any) -> list[float]:
    return [fit.var_candidate, fit.var_interviewer, fit.var_resid]


def _by_lme4(work: Path, panel: tuple[np.ndarray, ...]) -> Part:
    """Seconds, criterion and variances by lme4, or the reason there are none."""
    if shutil.which("Rscript") is None:
        return {"reason": "Rscript is not there"}
    data, script = work / "ratings.csv", work / "lme4.R"
    np.savetxt(data, np.column_stack(panel), delimiter=",", fmt="%.17g", comments="",
               header="score,candidate,interviewer")  # fmt: skip
    script.write_text(LME4)
    done = subprocess.run(
        ["Rscript", "--vanilla", str(script), str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"reason": (done.stderr.strip().splitlines() or ["R failed"])[-1]}
    found: Part = json.loads(done.stdout)
    return found


def _large(_: Path) -> Part:
    """Crossed REML of five million ratings."""
    from orchestration.statistics.crossed import components

    n_candidates, n_interviewers, each = 1_000_000, 5_000, 5
    rng = np.random.default_rng(5)
    candidate = np.repeat(np.arange(n_candidates), each)
    interviewer = rng.integers(n_interviewers, size=candidate.size)
    score = (
        3
        + 0.6 * rng.normal(size=n_candidates)[candidate]
        + 0.3 * rng.normal(size=n_interviewers)[interviewer]
        + 0.7 * rng.normal(size=candidate.size)
    )
    wall = time.perf_counter()
    cpu = time.process_time()
    fit = components(score, candidate, interviewer, cand_x_int=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = "crossed REML, 5M ratings, 1M candidates, 5,000 interviewers"
    return {
        "limits": [
            {"measure": what, "figure": cpu, "wall": wall, "target": 180, "unit": " s"},
            {"measure": "its peak memory", "figure": peak, "target": 6, "unit": " GiB"},
        ],
        "equal": [
            _equal("what made the scores", "three variances of 5M ratings",
                   _variances(fit), [0.36, 0.09, 0.49], 0.01,
                   "5,000 interviewers tell theirs to .002")
        ],
    }  # fmt: skip


def _marts(root: Path) -> tuple[Path, Any]:
    """The warehouse of a home with marts built, without tests, and its policy."""
    from orchestration.dbt_runner import build
    from orchestration.defs.dbt import SETS, parquet_sources
    from orchestration.landing import ingest
    from orchestration.publishing.generation import (
        code_version,
        plan_generation,
        start_building,
    )
    from orchestration.settings import Home, load_settings

    home, settings = Home(root), load_settings(root)
    # Marts of other models would be measured in silence.
    run = f"bench-{code_version()[:12]}"
    built = home.generations / f".building-{run}" / "warehouse.duckdb"
    if built.is_file():
        return built, settings.policy
    taken = ingest(home, settings.sources, progress=lambda _: None)
    plan = plan_generation(settings, taken)
    building = start_building(settings, run, plan, taken)
    results = build(
        " ".join(f"fqn:calibrant.{folder}" for folder in SETS["core"]),
        warehouse=building.warehouse,
        target=home.cache / "dbt",
        variables={
            "as_of": plan.as_of.isoformat(),
            "generation": plan.generation,
            "policy": dict(plan.policy),
            "role_families": {},
            "parquet_sources": parquet_sources(building),
        },
        exclude_resource_types=("unit_test", "test"),
    )
    failed = [result.unique_id for result in results if not result.succeeded]
    if failed:
        raise SystemExit(f"marts were not built: {', '.join(failed)}")
    return building.warehouse, settings.policy


def _processes() -> list[Path]:
    """This process and those it started, as folders of `/proc`."""
    own, found = os.getpid(), []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, which may hold blanks, stands in brackets.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if own in (int(status.parent.name), parent):
                found.append(status.parent)
    return found


def _processor_seconds() -> float:
    """Processor time of this process and those it started."""
    ticks = 0.0
    for process in _processes():
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            # Its own, and that of the processes it waited for.
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _peak_gib(process: Path) -> float:
    """Most memory a process has had."""
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    return 0.0


def _tables(root: Path) -> Part:
    """Every table of estimates: anew, with nothing new, and with a quarter changed."""
    import duckdb

    from orchestration.defs.statistics import estimates_rng
    from orchestration.estimates import ESTIMATES
    from orchestration.estimates.slices import Slices
    from orchestration.warehouse import DuckDBWarehouse

    path, policy = _marts(root)
    kept = path.parent / "slices"
    shutil.rmtree(kept, ignore_errors=True)

    def measured(path: Path) -> dict[str, Part]:
        found = {}
        for name, estimate in ESTIMATES.items():
            slices = Slices(kept / name, salt="bench")
            more = {"slices": slices} if estimate.is_sliced else {}
            wall, cpu = time.perf_counter(), _processor_seconds()
            with DuckDBWarehouse(path) as warehouse:
                table = estimate.function(
                    warehouse, policy, rng=estimates_rng(policy, name), **more
                )
            slices.forget_others()
            found[name] = {
                "cpu": _processor_seconds() - cpu,
                "wall": time.perf_counter() - wall,
                "rows": table.num_rows,
            }
            _say(f"  {name}: {found[name]}")
        return found

    runs = [measured(path)]
    peak = sum(_peak_gib(process) for process in _processes())
    runs.append(measured(path))
    changed = shutil.copy(path, path.with_name("changed.duckdb"))
    with duckdb.connect(str(changed)) as connection:
        # One application fewer in the newest quarter: all windows that hold it are new.
        found = connection.execute(
            """
            select min(ratings.application_id), min(newest.window_end)
            from marts.fct_ratings as ratings
            inner join (
                select * from marts.dim_windows
                where window_kind = 'quarter' and is_closed
                order by window_start desc limit 1
            ) as newest
                on ratings.submitted_at >= newest.window_start
                and ratings.submitted_at < newest.window_end
            """
        ).fetchall()
        application, end = found[0]
        for mart in _BY_APPLICATION:
            connection.execute(
                f"delete from marts.{mart} where application_id = ?", [application]
            )
        for mart, counted in _BY_WINDOW.items():
            connection.execute(
                f"update marts.{mart} set {counted} = {counted} - 1 where rowid in ("
                f"select min(counts.rowid) from marts.{mart} as counts"
                " inner join marts.dim_windows as windows using (window_id)"
                f" where windows.window_end = ? and {counted} > 1 group by window_id)",
                [end],
            )
        counted = connection.execute("select count(*) from marts.fct_ratings")
        ratings = int(counted.fetchall()[0][0])
    runs.append(measured(Path(changed)))
    Path(changed).unlink()
    shutil.rmtree(kept)
    return {"runs": runs, "peak_gib": peak, "ratings": ratings}


PARTS: dict[str, Callable[[Path], Part]] = {
    "panels": _panels,
    "apart": _peers_apart,
    "crossed": _crossed,
    "large": _large,
    "tables": _tables,
}


BESIDE = ("panels", "apart", "crossed")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _python(*arguments: object, threads: int | None = None) -> None:
    """Run a module of tests in a process of its own."""
    limit = {} if threads is None else {"OPENBLAS_NUM_THREADS": str(threads)}
    subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        check=True,
        cwd=ROOT,
        env={**os.environ, **limit},
        stdout=subprocess.DEVNULL,
    )


def _measured(name: str, answers: Path, home: Path | None) -> Part:
    """What a part finds, and how busy the machine was; read where it is kept."""
    kept = answers / f"{name}.json"
    if kept.is_file():
        found: Part = json.loads(kept.read_text())
        return found
    _say(f"{name} ...")
    with tempfile.TemporaryDirectory() as work:
        folder, answer = Path(work) / name, Path(work) / "answer.json"
        folder.mkdir()
        if name == "tables" and home is None:
            _python("tests.bench", "--measure", "simulate", folder, answer, "1M")
        elif name == "tables" and home is not None:
            folder = home
        # Threads that wait for each other would count as work, ours and the peer's.
        # The assets of the tables set one thread too.
        threads = 1 if name in (*BESIDE, "tables") else None
        _python(
            "tests.bench_statistics", "--measure", name, folder, answer, threads=threads
        )
        found = {**json.loads(answer.read_text()), "load": os.getloadavg()[0]}
    kept.write_text(json.dumps(found))
    _say(json.dumps(found))
    return found


def _seconds(figure: float) -> str:
    return f"{figure:.3f} s" if figure < 1 else f"{figure:,.1f} s"


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _rows(lines: list[list[str]]) -> list[str]:
    """A Markdown table; the first line is its head."""
    head, *body = lines
    return [
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(row)} |" for row in body),
    ]


def _beside_peers(results: dict[str, Part]) -> list[str]:
    """Ratios to the peers."""
    rows = [["measure", "ours", "peer", "its time", "measured on", "ratio", "target",
             "met"]]  # fmt: skip
    for found in results.values():
        for row in found.get("speed", ()):
            ratio, target = row["peer"] / row["ours"], row["target"]
            looped = int(row["looped"])
            is_panel = "REML" in row["measure"]
            rows.append(
                [
                    row["measure"],
                    _seconds(row["ours"]),
                    row["peer_name"],
                    _seconds(row["peer"]),
                    "the same" if is_panel else f"{looped:,} groups",
                    f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.1f}×",
                    f"≥ {target:,.0f}×" if target else "none",
                    _met(ratio >= target) if target else "–",
                ]
            )
    return [
        "## Beside peers\n",
        f"{GROUPS:,} groups of {CANDIDATES} candidates and {RATERS} raters, levels 1 to"
        f" {LEVELS}; ours {BATCH:,} groups at once, the peer's loop extrapolated from"
        " the groups named."
        f" Medians of {ROUNDS} rounds in which both alternate (three of lme4, in R)."
        " Linear algebra has one thread. Making the peer's frames is not counted.\n",
        *_rows(rows),
    ]


def _limits(results: dict[str, Part]) -> list[str]:
    """Absolute limits."""
    rows = [["measure", "processor time", "wall clock", "target", "met"]]
    limits = [row for found in results.values() for row in found.get("limits", ())]
    if tables := results.get("tables"):
        first = tables["runs"][0].values()
        limits += [
            {
                "measure": "all tables, 1M applications",
                "figure": sum(row["cpu"] for row in first),
                "wall": sum(row["wall"] for row in first),
                "target": 180,
                "unit": " s",
            },
            {
                "measure": "their peak memory",
                "figure": tables["peak_gib"],
                "target": 6,
                "unit": " GiB",
            },
        ]
    for row in limits:
        digits = 2 if row["figure"] < 10 else 0
        wall = f"{row['wall']:.{digits}f} s" if "wall" in row else "–"
        # What a busy machine made a process wait is no cost of ours.
        figure = min(row["figure"], row.get("wall", row["figure"]))
        rows.append(
            [
                row["measure"],
                f"{row['figure']:.{digits}f}{row['unit']}",
                wall,
                f"≤ {row['target']:g}{row['unit']}",
                _met(figure <= row["target"]),
            ]
        )
    return [
        "\n## Limits\n",
        "Met where the processor time or the wall clock is within the target.\n",
        *_rows(rows),
    ]


def _equality(results: dict[str, Part]) -> list[str]:
    """Largest differences from peers."""
    rows = [["peer", "what", "values", "largest difference", "tolerance", "met"]]
    for found in results.values():
        for row in found.get("equal", ()):
            why = f": {row['why']}" if row["why"] else ""
            rows.append(
                [
                    row["peer_name"],
                    row["what"],
                    f"{row['n']:,}",
                    f"{row['difference']:.1g}",
                    f"{row['tolerance']:g}{why}",
                    _met(row["difference"] <= row["tolerance"]),
                ]
            )
    return ["\n## The same values\n", *_rows(rows)]


def _wrong(results: dict[str, Part]) -> list[str]:
    """Where equality is not wanted."""
    lines = [
        "\n## Where a peer is not followed\n",
        "`tests/unit/test_peers.py` shows each case.\n",
        "- pingouin drops every candidate whom some interviewer did not see. With four"
        " of Shrout and Fleiss' 24 ratings missing two of six candidates are left:"
        " ICC(1) .267 for .275, ICC(A,1) .348 for .249.",
        "- irrCAC's `ordinal` weights are not Krippendorff's ordinal metric: on his"
        " twelve units alpha is .834 with the one and .815 with the other.",
    ]
    tied = results.get("apart", {}).get("tied")
    values = ", ".join(f"{value:.3f}" for value in tied) if tied else "not run here"
    lines.append(
        "- lifelines' Aalen–Johansen fitter moves tied times apart at random: the share"
        f" of ten tied cases is {values} with seeds 1, 2, 3, and exactly .481."
    )
    return lines


_SLICES = (
    "Windows whose input is unchanged are read back"
    " (`orchestration/estimates/slices.py`). In the third run one application of the"
    " newest quarter was taken out of every mart: the windows that hold it are computed"
    " anew, as after a new quarter. T3, T5 and T8 depend on all of the history in every"
    " window and are computed as one; time to hire and offers take less than to find"
    " out."
)


def _tables_of(results: dict[str, Part]) -> list[str]:
    """Seconds of each table of estimates."""
    title = "\n## Tables of a company of 1M applications\n"
    if "tables" not in results:
        return [title, "Not measured."]
    found = results["tables"]
    first = found["runs"][0]
    columns = [
        (first, "cpu"),
        (first, "wall"),
        *((r, "cpu") for r in found["runs"][1:]),
    ]
    names = ["anew", "wall", "nothing new", "newest quarter changed"]
    rows = [["table", "function", "rows", *names[: len(columns)]]]
    rows += [
        [
            TABLES.get(name, ""),
            name,
            f"{first[name]['rows']:,}",
            *(f"{run[name][kind]:.1f}" for run, kind in columns),
        ]
        for name in sorted(first, key=lambda name: (TABLES.get(name, "T9+"), name))
    ]
    totals = [sum(row[kind] for row in run.values()) for run, kind in columns]
    rows.append(["", "**all**", "", *(f"**{total:.1f}**" for total in totals)])
    return [
        title,
        f"Processor seconds for {found['ratings']:,} ratings, and the wall clock of the"
        " first run.",
        *([_SLICES] if found["runs"][1:] else []),
        "",
        *_rows(rows),
    ]


def _report(results: dict[str, Part], skipped: list[str], day: dt.date) -> str:
    """The page of figures."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {metadata.version(name)}" for name in VERSIONS]
    apart = results.get("apart", {}).get("versions")
    if apart:
        versions.append(
            f"irrCAC {apart['irrCAC']} and lifelines {apart['lifelines']} (apart, scipy"
            f" {apart['scipy']})"
        )
    load = max((found["load"] for found in results.values()), default=0.0)
    busy = (
        f"The machine was shared: up to {load:.1f} processes wanted its {cores} cores,"
        " so the wall clock ran longer than it would alone."
        if load > cores + 0.5
        else ""
    )
    notes = [found["skipped"] for found in results.values() if found.get("skipped")]
    notes += [f"`{name}` was left out." for name in skipped]
    return "\n".join(
        [
            "# Benchmarks of the statistics\n",
            "Written by `make bench-statistics`; do not edit."
            " Runs of the whole pipeline are in [benchmarks](benchmarks.md).",
            f"Measured on {day:%-d %B %Y} on a machine with {cores} cores and"
            f" {memory:.0f} GiB, Python {platform.python_version()},"
            f" {', '.join(versions)}.",
            "Times are processor time, of both cores where both are used, unless the"
            " wall clock is named.",
            *([busy] if busy else []),
            *notes,
            "",
            *_beside_peers(results),
            *_limits(results),
            *_equality(results),
            *_wrong(results),
            *_tables_of(results),
            "",
        ]
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip", nargs="+", choices=[*PARTS], default=[])
    parser.add_argument("--home", type=Path, help="a home simulated already")
    parser.add_argument("--answers", type=Path, help="where parts keep what they found")
    parser.add_argument("--date", type=dt.date.fromisoformat)
    parser.add_argument("--apart", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        _say_apart(options.apart)
        return
    if options.measure:
        name, folder, answer = options.measure
        Path(answer).write_text(json.dumps(PARTS[name](Path(folder))))
        return
    day = options.date or dt.datetime.now(dt.UTC).date()
    results: dict[str, Part] = {}
    with tempfile.TemporaryDirectory() as folder:
        answers = options.answers or Path(folder)
        answers.mkdir(parents=True, exist_ok=True)
        for name in PARTS:
            if name not in options.skip:
                results[name] = _measured(name, answers, options.home)
    text = _report(results, options.skip, day)
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
