"""Selection and scoring rates as New York's Local Law 144 asks for them.

Its tables list groups below the smallest size, so they are written for one reader into
the restricted folder, never published.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from orchestration.publishing.export import without_formulas
from orchestration.publishing.generation import Generation, GenerationError
from orchestration.statistics.parity import (
    AuditTable,
    BiasAudit,
    scoring_audit,
    selection_audit,
)
from orchestration.warehouse import DuckDBWarehouse, Warehouse

TABLES = ("sex", "race_ethnicity", "intersection")
_BETWEEN = " × "
_UNDISCLOSED = ("declined", "unanswered", "not asked")
_REASONS = {
    "below_min_share": "under 2 % of those assessed: listed, not compared",
    "nobody_assessed": "nobody assessed",
    "nobody_selected": "nobody selected in any category",
}
_NOTES = (
    "Input for an independent audit, not an audit, and no legal finding.",
    "Form: 6 RCNY 5-300 and 5-301 (Local Law 144 of 2021).",
    "Selection rate: selected among those the company decided on; who withdrew, is"
    " open or was closed without a decision is in no row. Stage `overall`: an offer"
    " was extended.",
    "Scoring rate: share whose mean of the round is above the median of everybody"
    " scored there, people of unknown category included; by rubric version and scale.",
    "Impact ratio: rate over the highest rate of the same table and step.",
    "n_unknown: people assessed whose category is not known: declined, not answered or"
    " not asked.",
    "Groups of any size are listed: keep this file restricted.",
)
_WINDOWS = """
    select window_id, window_label, window_start, window_end from marts.dim_windows
    where window_kind in ('year', 'all') and is_closed
    order by window_kind = 'year' desc, window_end desc
"""
_SELECTED = """
    select
        stage as step, group_value,
        cast(sum(n_decided) as bigint) as n,
        cast(sum(n_selected) as bigint) as n_selected
    from marts.fct_selection_counts as counts
    where
        attribute = 'intersection' and n_decided > 0
        and window_id = ? and role_family = coalesce(?, role_family)
    group by stage, group_value
    order by
        coalesce(
            (
                select min(stages.stage_order) from marts.dim_stages as stages
                where stages.stage = counts.stage
            ), 0
        ),
        stage, group_value
"""
_SCORED = """
    select
        round as step, rubric_id, rubric_version, scale_id, group_value, score,
        cast(sum(n) as bigint) as n
    from marts.fct_score_counts
    where
        attribute = 'intersection' and competency = 'all'
        and window_id = ? and role_family = coalesce(?, role_family)
    group by all
    order by all
"""


def write_ll144(
    generation: Generation,
    *,
    folder: Path,
    form: str,
    window: str | None = None,
    role_family: str | None = None,
) -> list[Path]:
    """Write the three tables by sex, race or ethnicity, and both; return the files.

    Parameters
    ----------
    folder : Path
        Where to; made readable to its owner only.
    form : {"csv", "xlsx"}
        Three CSV files and one about them, or one workbook of four sheets.
    window : str, optional
        Id or label of a closed year, or of all closed quarters; default the newest
        closed year.
    role_family : str, optional
        Default all of them together.

    Raises
    ------
    GenerationError
        If the window is unknown, or nobody of it was asked both sex and race or
        ethnicity.
    """
    with DuckDBWarehouse(generation.root / "warehouse.duckdb") as warehouse:
        chosen = _window(warehouse, window)
        asked = [chosen["window_id"], role_family]
        selected = warehouse.read_arrow(_SELECTED, asked).to_pandas()
        scored = warehouse.read_arrow(_SCORED, asked).to_pandas()
    if selected.empty and scored.empty:
        raise GenerationError(
            f"{chosen['window_label']}: nobody"
            f"{f' of {role_family}' if role_family else ''} was asked both `sex` and"
            " `race_ethnicity`; deliver them as attributes of the entity demographics"
        )
    rows = [*_selection_rows(selected), *_scoring_rows(scored)]
    sheets = {
        name: _sheet([row for table, row in rows if table == name], name)
        for name in TABLES
    }
    about = {
        "window": f"{chosen['window_label']} ({chosen['window_id']})",
        "from": f"{chosen['window_start']:%Y-%m-%d}",
        "before": f"{chosen['window_end']:%Y-%m-%d}",
        "role family": role_family or "all",
        "generation": generation.root.name,
    }
    notes = [*about.items(), *(("note", note) for note in _NOTES)]
    sheets["about"] = pd.DataFrame(notes, columns=["about", "value"])
    return _written(sheets, folder, form)


def _window(warehouse: Warehouse, name: str | None) -> dict[str, object]:
    """The window named by id or label, else the newest closed year."""
    known = warehouse.read_arrow(_WINDOWS).to_pylist()
    for window in known:
        if name is None or name in (window["window_id"], window["window_label"]):
            return window
    listed = ", ".join(window["window_id"] for window in known) or "none is closed yet"
    raise GenerationError(f"unknown window {name!r}; known: {listed}")


def _selection_rows(counts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables of every stage."""
    for step, group in counts.groupby("step", sort=False):
        n, chosen = group["n"].to_numpy(), group["n_selected"].to_numpy()
        people = np.repeat(np.tile([True, False], len(group)),
                           np.column_stack([chosen, n - chosen]).ravel())  # fmt: skip
        sex, race, sexes, races = _categories(np.repeat(group["group_value"], n))
        audit = selection_audit(people, sex=sex, race=race,
                                n_sex=len(sexes), n_race=len(races))  # fmt: skip
        yield from _rows(audit, sexes, races, {"rate_kind": "selection", "step": step})


def _scoring_rows(counts: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables of every round, rubric version and scale."""
    keys = ["step", "rubric_id", "rubric_version", "scale_id"]
    for labels, group in counts.groupby(keys, sort=False, dropna=False):
        n = group["n"].to_numpy()
        sex, race, sexes, races = _categories(np.repeat(group["group_value"], n))
        audit = scoring_audit(np.repeat(group["score"].to_numpy(), n), sex=sex,
                              race=race, n_sex=len(sexes),
                              n_race=len(races))  # fmt: skip
        step = dict(zip(keys, labels, strict=True))
        yield from _rows(audit, sexes, races,
                         {"rate_kind": "scoring", **step,
                          "median": audit.median})  # fmt: skip


def _categories(
    values: ArrayLike,
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Codes of sex and of race or ethnicity, -1 where unknown, and their names."""
    parts = pd.Series(values, dtype=str).str.split(_BETWEEN, n=1, expand=True)
    coded = []
    for place in (0, 1):
        known = parts[place].where(~parts[place].isin(_UNDISCLOSED))
        names = sorted(known.dropna().unique())
        coded.append((pd.Categorical(known, categories=names).codes, names))
    (sex, sexes), (race, races) = coded
    return sex.astype(int), race.astype(int), sexes, races


def _rows(
    audit: BiasAudit, sexes: list[str], races: list[str], about: dict[str, object]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The three tables of one audit, each with the name of its table."""
    both = pd.MultiIndex.from_product([sexes, races])
    yield "sex", _table(audit.sex, about, {"sex": sexes})
    yield "race_ethnicity", _table(audit.race, about, {"race_ethnicity": races})
    crossed = {"sex": both.get_level_values(0),
               "race_ethnicity": both.get_level_values(1)}  # fmt: skip
    yield "intersection", _table(audit.intersection, about, crossed)


def _table(
    found: AuditTable, about: dict[str, object], categories: dict[str, ArrayLike]
) -> pd.DataFrame:
    """One table of an audit as rows."""
    frame = pd.DataFrame(categories).assign(
        n_applicants=found.n,
        n_above=found.n_selected,
        rate=found.rate.round(4),
        impact_ratio=found.impact_ratio.round(4),
        is_reference=np.arange(len(found.n)) == found.reference,
        not_compared=[_REASONS.get(str(reason), "") for reason in found.reason],
        n_unknown=found.n_unknown,
    )
    for place, (name, value) in enumerate(about.items()):
        frame.insert(place, name, value)
    return frame


def _sheet(parts: list[pd.DataFrame], table: str) -> pd.DataFrame:
    """The tables of all steps under one another, in the order of their columns."""
    first = ["rate_kind", "step", "rubric_id", "rubric_version", "scale_id", "median"]
    categories = ["sex", "race_ethnicity"] if table == "intersection" else [table]
    counts = ["n_applicants", "n_above", "rate", "impact_ratio", "is_reference",
              "not_compared", "n_unknown"]  # fmt: skip
    whole = pd.concat(parts, ignore_index=True)
    return whole.reindex(columns=[*first, *categories, *counts]).rename(
        columns={"n_above": "n_selected_or_above_median"}
    )


def _written(sheets: dict[str, pd.DataFrame], folder: Path, form: str) -> list[Path]:
    """The files, which nobody but their owner may read."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    safe = {name: without_formulas(frame) for name, frame in sheets.items()}
    old_mask = os.umask(0o077)
    try:
        if form == "xlsx":
            path = folder / "ll144.xlsx"
            with pd.ExcelWriter(path) as book:
                for name, frame in safe.items():
                    frame.to_excel(book, index=False, sheet_name=name)
            return [path]
        paths = [folder / f"ll144_{name}.csv" for name in safe]
        for path, frame in zip(paths, safe.values(), strict=True):
            frame.to_csv(path, index=False, lineterminator="\r\n")
        return paths
    finally:
        os.umask(old_mask)
