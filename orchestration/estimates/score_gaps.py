"""Score gaps: do groups score differently, and alike when matched (T7)."""

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.estimates.reliability import ADVANCED_SHARES
from orchestration.estimates.slices import NOTHING_KEPT, Part, Slices
from orchestration.estimates.windows import Window, contents, windows
from orchestration.settings import Policy
from orchestration.statistics.gaps import (
    DIF_ACTION_MIN,
    GAP_MIN,
    expected_ratio,
    mantel_dif,
    moments,
    score_gap,
)
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.warehouse import Warehouse

SLICE = [
    "window_id", "role_family", "round", "competency", "rubric_id", "rubric_version",
    "scale_id", "attribute",
]  # fmt: skip
_COUNTS = """
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        round, competency, rubric_id, rubric_version, scale_id, attribute, group_value,
        is_disclosed, score, matched_mean,
        cast(sum(n) as bigint) as n
    from marts.fct_score_counts
    where attribute <> 'intersection' and window_id in (select unnest(?))
    group by
        window_id, round, competency, rubric_id, rubric_version, scale_id, attribute,
        group_value, is_disclosed, score, matched_mean, cube (role_family)
    order by all
"""
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in SLICE),
        ("group_value", pa.string()), ("reference_group", pa.string()),
        ("n", pa.int64()), ("n_reference", pa.int64()), ("n_unknown", pa.int64()),
        ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("mean_score", pa.float64()),
        ("reference_mean_score", pa.float64()), ("p", pa.float64()),
        ("q", pa.float64()), ("expected_impact_ratio", pa.float64()),
        ("dif_smd", pa.float64()), ("dif_delta", pa.float64()),
        ("dif_p", pa.float64()), ("dif_q", pa.float64()), ("dif_class", pa.string()),
    ]
)  # fmt: skip


def score_gaps(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return each group's gap in scores to the largest group, crude and matched.

    The estimate is Hedges' g of the panel's score, negative where the group trails.
    Beside it stand the difference between people of equal round mean (differential
    functioning of the competency) and the impact ratio that the gap alone leads to at
    the round's pass rate. People who gave no answer are counted and left out. Numbers
    need 30 people on both sides, the class of the difference 200. `rng` is not drawn
    from.
    """
    counted = contents(
        warehouse, "select * from marts.fct_score_counts", by="window_id"
    )
    rates = warehouse.read_arrow(ADVANCED_SHARES, [["year", "all"]]).to_pandas()

    def parts(window: Window) -> list[Part]:
        return [counted[window.id], rates[rates["window_id"] == window.id]]

    return slices.by_window(
        windows(warehouse, "all", "year"),
        parts,
        lambda new: _score_gaps(warehouse, rates, [window.id for window in new]),
    )


def _score_gaps(
    warehouse: Warehouse, rates: pd.DataFrame, asked: list[str]
) -> pa.Table:
    """The rows of some windows."""
    counts = warehouse.read_arrow(_COUNTS, [asked]).to_pandas()
    if counts.empty:
        return SCHEMA.empty_table()
    code, slices = group_codes(counts, SLICE)
    counts = counts.assign(slice=code)
    unknown = counts[~counts["is_disclosed"]].groupby("slice")["n"].sum()
    known = counts[counts["is_disclosed"]]
    if known.empty:
        return SCHEMA.empty_table()
    pairs = _pairs(known)
    frame = slices.loc[pairs["slice"]].reset_index(drop=True).join(pairs)
    frame["n_unknown"] = frame["slice"].map(unknown).fillna(0)
    frame = _gap(frame, known)
    frame = _matched(frame, known)
    frame = frame.merge(rates, how="left",
                        on=["window_id", "role_family", "round"])  # fmt: skip
    frame["expected_impact_ratio"] = expected_ratio(
        frame["estimate"],
        selection_ratio=frame["pass_rate"].clip(1e-6, 1 - 1e-6),
        focal_share=frame["n"] / (frame["n"] + frame["n_reference"]),
    )
    return arrow_table(_finished(frame), SCHEMA)


def _pairs(known: pd.DataFrame) -> pd.DataFrame:
    """Every group with the largest one of its slice, by code of the slice."""
    sizes = known.groupby(["slice", "group_value"], as_index=False)["n"].sum()
    largest = sizes.sort_values(["slice", "n", "group_value"],
                                ascending=[True, False, True])  # fmt: skip
    largest = largest.drop_duplicates("slice").rename(
        columns={"group_value": "reference_group", "n": "n_reference"}
    )
    pairs = sizes.merge(largest, on="slice")
    others = pairs["group_value"] != pairs["reference_group"]
    return pairs[others].reset_index(drop=True)


def _gap(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Moments of both sides and their standardised difference."""
    code, groups = group_codes(known, ["slice", "group_value"])
    people = np.repeat(np.arange(len(known)), known["n"])
    found = moments(
        known["score"].to_numpy()[people], group=code[people], n_groups=len(groups)
    )
    sides = groups.assign(mean=found.mean, sd=found.sd)
    for name, prefix in (("group_value", ""), ("reference_group", "reference_")):
        side = sides.rename(columns={"group_value": name, "mean": f"{prefix}mean_score",
                                     "sd": f"{prefix}sd"})  # fmt: skip
        frame = frame.merge(side, on=["slice", name], how="left")
    gap = score_gap(
        frame["n"],
        frame["mean_score"],
        frame["sd"],
        reference_n=frame["n_reference"],
        reference_mean=frame["reference_mean_score"],
        reference_sd=frame["reference_sd"],
    )
    return frame.assign(estimate=gap.g, ci_low=gap.low, ci_high=gap.high, p=gap.welch_p)


def _matched(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Difference between people of equal round mean, one comparison a row."""
    compared = frame[["slice", "group_value", "reference_group"]].assign(
        comparison=np.arange(len(frame))
    )
    sides = []
    for name, is_focal in (("group_value", True), ("reference_group", False)):
        keys = compared[["slice", name, "comparison"]]
        side = known.merge(keys, left_on=["slice", "group_value"],
                           right_on=["slice", name])  # fmt: skip
        sides.append(side.assign(is_focal=is_focal))
    counted = pd.concat(sides, ignore_index=True)
    people = np.repeat(np.arange(len(counted)), counted["n"])
    found = mantel_dif(
        counted["score"].to_numpy()[people],
        counted["matched_mean"].to_numpy()[people],
        is_focal=counted["is_focal"].to_numpy()[people],
        slice_code=counted["comparison"].to_numpy()[people],
        n_slices=len(frame),
    )
    return frame.assign(
        dif_smd=found.smd,
        dif_delta=found.delta,
        dif_p=found.p,
        dif_class=found.category,
    )


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    """Status, q over each window and reading, and no number where a side is small."""
    few = (frame["n"] < GAP_MIN) | (frame["n_reference"] < GAP_MIN)
    few |= frame["estimate"].isna()
    measures = [
        "estimate", "ci_low", "ci_high", "mean_score", "reference_mean_score", "p",
        "expected_impact_ratio", "dif_smd", "dif_delta", "dif_p",
    ]  # fmt: skip
    frame.loc[few, measures] = np.nan
    # Among fewer, four of five healthy companies have a row of the largest class.
    classed = ~few & (frame[["n", "n_reference"]].min(axis=1) >= DIF_ACTION_MIN)
    family = frame["role_family"] != "all"
    tested = frame.assign(_family=family)
    code, _ = group_codes(tested, ["window_id", "attribute", "_family"])
    crosses = (frame["ci_low"] <= 0) & (frame["ci_high"] >= 0)
    return frame.assign(
        q=benjamini_hochberg(frame["p"].to_numpy(), code),
        dif_q=benjamini_hochberg(frame["dif_p"].to_numpy(), code),
        dif_class=frame["dif_class"].where(classed & (frame["dif_class"] != ""), None),
        ci_method=np.where(few, "none", "noncentral t"),
        status=np.select([few, crosses], ["insufficient", "inconclusive"], "ok"),
    ).sort_values([*SLICE, "group_value"])
