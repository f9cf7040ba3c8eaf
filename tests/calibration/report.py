"""The document: what was simulated, and what every cell found."""

import datetime as dt
import os
import platform
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any

from orchestration.statistics.proportions import clopper_pearson
from tests.calibration.study import CLOSED_TARGET, FITTED_TARGET, Cell, Row, Store

VERSIONS = ("numpy", "scipy", "pandas", "duckdb")
NARROW, WIDE, UNCLEAR, MET = "**too narrow**", "**too wide**", "unclear", "yes"

# Why an interval misses, and what would not, by study: from reading the method and the
# simulations themselves. Printed only where the study has a miss.
CAUSES = {
    "Newcombe difference": (
        "With one or two passes a side the counts take few values, and the hybrid of"
        " two Wilson intervals errs on the wide side."
    ),
    "Unique R²": (
        "Squaring forgets the sign: an interval of the semipartial correlation that"
        " reaches far below zero holds a small contribution once it is squared, so"
        " hardly any lies below the truth."
    ),
    "Kaplan–Meier quantiles, log-log": (
        "Few applications are left to observe when 85 % have ended, so many upper"
        " bounds are open and hold the truth for want of data."
    ),
    "Restricted mean": (
        "Greenwood's error of a few dozen ends with a normal quantile; Student's t with"
        " ends − 1 degrees of freedom would do."
    ),
    "Backlog growth, overlapping blocks": (
        "Blocks of four to eight weeks do not hold all the dependence of the second"
        " kind of weeks."
    ),
    "Agreement, bootstrap of candidates": (
        "Percentile bounds of a bounded and skewed coefficient from thirty candidates."
    ),
    "Agreement, Gwet's standard errors": (
        "Limits on Fisher's scale: what is left at thirty candidates is the skewness of"
        " the coefficient itself."
    ),
    "Cohen's and Conger's kappa": (
        "As above; Conger's error is from thirty candidates and errs a little low."
    ),
    "Flips and borderline cases, Wilson": (
        "As many candidates flip in as out, so flips come in pairs and thirty"
        " candidates are no more than fifteen draws; from a hundred on it does not"
        " show."
    ),
}

OPENING = """# Calibration

Written by `make calibrate`; do not edit.
{made}

Does a 95 % interval hold the truth in 95 of 100 samples, does a company without faults
stay without findings, and is a planted fault found as often as planned?
Every figure below is from the functions that the reports call, on simulated data whose
truth is known.

A *cell* is one study at one size: it has its own seed, the CRC-32 of its name, so it
can be repeated alone and always gives the same numbers.
`n` counts the unit which the estimator counts; each table names it.
Coverage has its Monte-Carlo interval in brackets (Clopper–Pearson over replicates;
where a replicate has several intervals, that of a ratio of sums over replicates, since
intervals of one fit depend on each other).
*Below* and *above* are the shares of intervals that lie wholly below and wholly above
the truth; a symmetric miss has both alike.
*Estimable* is the share of replicates, or of intervals, that have both bounds; the
others are shown to readers as insufficient and do not count.
A truth that is drawn anew in each replicate has none in its column.

Targets: {closed[0]:g} to {closed[1]:g} % for closed forms and bootstraps,
{fitted[0]:g} to {fitted[1]:g} % for fitted models, at least {closed[0]:g} % where an
interval is exact by construction.
*{met}* means that the coverage lies inside; *{unclear}* that it lies outside by no more
than its Monte-Carlo error; **too narrow** and **too wide** that it misses beyond doubt.

Not simulated, because they hold the truth exactly when another interval does:
signal-to-noise, information per hour and D-study figures, which rise with G.
Control limits and critical values that are no intervals (EWMA, CUSUM, mean squares)
show in the false alarms as far as a flag rests on them.
"""


def document(cells: Iterable[Cell], store: Store, day: dt.date, *, workers: int) -> str:
    """Return the page, of the cells that are finished."""
    found = [(cell, store.found(cell)) for cell in cells]
    done = [(cell, part["rows"]) for cell, part in found if part]
    seconds = sum(part["seconds"] for _, part in found if part)
    lines = [
        OPENING.format(
            made=_made(day, seconds, workers), closed=CLOSED_TARGET,
            fitted=FITTED_TARGET, met=MET, unclear=UNCLEAR,
        ),
        *_summary(done, sum(cell.study.part != "companies" for cell, _ in found)),
        *_misses(done),
        "\n## Coverage\n",
        *_coverage(done),
        "## False alarms in companies without faults\n",
        "Share of simulated companies in which something is flagged although nothing is"
        " wrong; the target is 5 %.",
        "Rows without a verdict are there to be compared with: no rule acts on them.\n",
        *_shares(done, "alarms", ("false alarm", "", "simulated", "share", "verdict",
                                  "note")),
        "## Power at the planted sizes\n",
        "*Planned* is what the arithmetic behind the simulator's faults promised.\n",
        *_shares(done, "power", ("planted fault", "planned", "simulated", "found",
                                 "as planned", "note")),
        "## Whole runs of null companies\n",
        *_companies(done),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _made(day: dt.date, seconds: float, workers: int) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    return (
        f"Written on {day:%-d %B %Y} on a machine with {os.cpu_count()} cores and"
        f" {memory:.0f} GiB, Python {platform.python_version()}, {versions};\n"
        f"{workers} processes with one thread of linear algebra each; the cells took"
        f" {seconds / 60:.0f} minutes of one process together."
    )


def verdict(row: Row, target: tuple[float, float]) -> str:
    """Return whether a coverage lies within its target, in per cent."""
    if row["coverage"] is None:
        return "–"
    low, at, high = (
        100 * row[name] for name in ("coverage_low", "coverage", "coverage_high")
    )
    if target[0] <= at <= target[1]:
        return MET
    if high < target[0]:
        return NARROW
    return WIDE if low > target[1] else UNCLEAR


Done = list[tuple[Cell, list[Row]]]


def _summary(done: Done, n_cells: int) -> Iterator[str]:
    """How many intervals meet their target."""
    verdicts = [
        verdict(row, cell.study.target)
        for cell, rows in done
        if cell.study.part == "coverage"
        for row in rows
    ]
    missing = n_cells - sum(cell.study.part != "companies" for cell, _ in done)
    yield "## In short\n"
    yield "| intervals × sizes | within target | unclear | too narrow | too wide |"
    yield "|---|---|---|---|---|"
    counts = [verdicts.count(word) for word in (MET, UNCLEAR, NARROW, WIDE)]
    yield f"| {len(verdicts)} | {' | '.join(map(str, counts))} |"
    if missing:
        yield f"\n{missing} of {n_cells} cells are not finished and not shown."


def _misses(done: Done) -> Iterator[str]:
    """Every interval that misses beyond doubt, by how much, and why."""
    yield "\n## Where an interval misses\n"
    names: dict[str, None] = {}
    lines = []
    for cell, rows in done:
        if cell.study.part != "coverage":
            continue
        for row in rows:
            word, (low, high) = verdict(row, cell.study.target), cell.study.target
            if word not in (NARROW, WIDE):
                continue
            names[cell.study.name] = None
            at = 100 * row["coverage"]
            by = low - at if word == NARROW else at - high
            lines.append(
                f"| {cell.study.name} | {row['interval']} | {cell.n:,} |"
                f" {_coverage_text(row)} | {word} | {by:.1f} |"
            )
    if not lines:
        yield "None does.\n"
        return
    yield "Percentage points are counted from the nearer end of the target.\n"
    yield "| study | interval | n | coverage, % | verdict | points |"
    yield "|---|---|---|---|---|---|"
    yield from lines
    yield ""
    for name in names:
        if name in CAUSES:
            yield f"**{name}.** {CAUSES[name]}\n"


def _coverage_text(row: Row) -> str:
    return (
        f"{100 * row['coverage']:.1f}"
        f" [{100 * row['coverage_low']:.1f}, {100 * row['coverage_high']:.1f}]"
    )


def _coverage(done: Done) -> Iterator[str]:
    """One table per study."""
    name = ""
    for cell, rows in done:
        one = cell.study
        if one.part != "coverage":
            continue
        if one.name != name:
            yield from [""] if name else []
            name = one.name
            yield f"### {name}\n"
            yield f"{one.about}\n`n`: {one.unit}; {cell.replicates:,} replicates.\n"
            yield (
                "| interval | n | truth | estimable, % | coverage, % | below, % |"
                " above, % | median width | within target |"
            )
            yield "|---|---|---|---|---|---|---|---|---|"
        for row in rows:
            yield _coverage_row(row, cell)
    if name:
        yield ""


def _coverage_row(row: Row, cell: Cell) -> str:
    if row["coverage"] is None:
        return f"| {row['interval']} | {cell.n:,} | | 0 | | | | | – |"
    truth = "" if row["truth"] is None else f"{row['truth']:.4g}"
    width = "unbounded" if row["width"] is None else f"{row['width']:.3g}"
    return (
        f"| {row['interval']} | {cell.n:,} | {truth} | {100 * row['estimable']:.1f} |"
        f" {_coverage_text(row)} | {100 * row['below']:.1f} |"
        f" {100 * row['above']:.1f} | {width} | {verdict(row, cell.study.target)} |"
    )


def _shares(done: Done, part: str, head: tuple[str, ...]) -> Iterator[str]:
    """One table of shares of companies."""
    mine = [(cell, rows) for cell, rows in done if cell.study.part == part]
    about = {cell.study.name: cell.study for cell, _ in mine}
    yield "\n".join(f"- *{name}*: {one.about}" for name, one in about.items()) + "\n"
    titles = ("study", "n", *filter(None, head))
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for cell, rows in mine:
        for row in rows:
            share = (
                f"{100 * row['share']:.1f} % [{100 * row['share_low']:.1f},"
                f" {100 * row['share_high']:.1f}]"
            )
            said = [row["stated"]] if part == "power" else []
            word = _as_planned(row) if part == "power" else _is_quiet(row)
            cells = [cell.study.name, f"{cell.n:,} {cell.study.unit}", row["what"],
                     *said, f"{row['replicates']:,}", share, word,
                     row["note"]]  # fmt: skip
            yield f"| {' | '.join(cells)} |"
    yield ""


def _is_quiet(row: Row) -> str:
    """Whether false alarms keep to one company in twenty."""
    if not row["is_judged"]:
        return ""
    if row["share"] <= 0.05:
        return MET
    return "**no**" if row["share_low"] > 0.05 else UNCLEAR


def _as_planned(row: Row) -> str:
    """Whether a fault is found as often as planned, within the Monte-Carlo error."""
    if not row["stated"].startswith("."):
        return ""
    planned = float(row["stated"])
    if row["share_high"] < planned - 0.005:
        return f"**{100 * (planned - row['share']):.0f} points below**"
    return MET


def _companies(done: Done) -> Iterator[str]:
    """How many null companies have a recommendation to act."""
    runs: list[dict[str, Any]] = [
        row for cell, rows in done if cell.study.part == "companies" for row in rows
    ]
    if not runs:
        yield "Not run."
        return
    loud = [row for row in runs if row["rules"]]
    bounds = clopper_pearson(len(loud), len(runs))
    rules: dict[str, list[int]] = {}
    for row in loud:
        for rule in sorted(set(row["rules"])):
            rules.setdefault(rule, []).append(row["seed"])
    yield (
        "The preset `dev_null`, simulated anew with each seed and run from the inbox to"
        " the published recommendations.\nA run is loud if any rule proposes an action;"
        " at most 5 % may be.\n"
    )
    yield "| companies | loud | share | exact 95 % interval | rules (seeds) |"
    yield "|---|---|---|---|---|"
    fired = "; ".join(
        f"{rule} ({', '.join(map(str, seeds))})"
        for rule, seeds in sorted(rules.items())
    )
    yield (
        f"| {len(runs)} | {len(loud)} | {len(loud) / len(runs):.1%} |"
        f" [{float(bounds.low):.1%}, {float(bounds.high):.1%}] | {fired or 'none'} |"
    )
    yield (
        f"\nSeeds {min(row['seed'] for row in runs)} to"
        f" {max(row['seed'] for row in runs)}."
    )
