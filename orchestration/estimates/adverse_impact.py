"""Adverse impact: selection rates of self-identified groups, by stage (T6)."""

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.estimates.slices import NOTHING_KEPT, Slices
from orchestration.estimates.windows import contents, windows
from orchestration.settings import Policy
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.statistics.parity import (
    all_others,
    evidence,
    impact_ratio,
    mantel_haenszel,
    min_detectable_ratio,
    reference_groups,
    selection_tests,
)
from orchestration.statistics.proportions import wilson
from orchestration.warehouse import Warehouse

SLICE = ["window_id", "role_family", "stage", "attribute"]
GROUP = [*SLICE, "group_value"]
# Sex and race or ethnicity together, `female × asian`.
INTERSECTION = "intersection"
# LL144 (6 RCNY 5-301) lets categories under 2 % of the data out of the ratios.
_LL144_SHARE = 0.02

_COUNTS = """
    with own as (
        select * from marts.fct_selection_counts where window_id in (select unnest(?))
    ),
    counts as (
        select * from own
        union all by name
        select * replace ('all' as role_family) from own
    )
    select
        window_id,
        role_family,
        stage,
        attribute,
        group_value,
        {strata}
        bool_and(is_disclosed) as is_disclosed,
        cast(sum(n_decided) as bigint) as n,
        cast(sum(n_selected) as bigint) as selected,
        cast(sum(n_withdrew) as bigint) as n_withdrew,
        cast(sum(n_open) as bigint) as n_open,
        cast(sum(n_closed_no_decision) as bigint) as n_closed_no_decision
    from counts
    group by {strata} window_id, role_family, stage, attribute, group_value
    order by {strata} window_id, role_family, stage, attribute, group_value
"""

SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("stage", pa.string()), ("attribute", pa.string()),
        ("group_value", pa.string()), ("n", pa.int64()), ("estimate", pa.float64()),
        ("ci_low", pa.float64()), ("ci_high", pa.float64()),
        ("ci_method", pa.string()), ("status", pa.string()), ("selected", pa.int64()),
        ("selection_rate", pa.float64()), ("selection_rate_ci_low", pa.float64()),
        ("selection_rate_ci_high", pa.float64()), ("reference_group", pa.string()),
        ("is_reference", pa.bool_()), ("n_reference", pa.int64()),
        ("four_fifths_flag", pa.bool_()), ("flips_with_one", pa.bool_()),
        ("fisher_p", pa.float64()), ("midp", pa.float64()),
        ("z_hyper", pa.float64()), ("sd_units", pa.float64()),
        ("shortfall", pa.float64()), ("phi", pa.float64()), ("cohen_h", pa.float64()),
        ("mh_or", pa.float64()), ("mh_rr", pa.float64()),
        ("mh_rr_ci_low", pa.float64()), ("mh_rr_ci_high", pa.float64()),
        ("bd_p", pa.float64()), ("std_rate", pa.float64()),
        ("simpson_flag", pa.bool_()), ("min_detectable_ratio", pa.float64()),
        ("p", pa.float64()), ("q", pa.float64()), ("n_unknown", pa.int64()),
        ("n_withdrew", pa.int64()), ("n_open", pa.int64()),
        ("n_closed_no_decision", pa.int64()), ("ll144_excluded", pa.bool_()),
        ("evidence", pa.string()),
    ]
)  # fmt: skip


def adverse_impact(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return each group's selection beside the reference group's and all others'.

    n counts company decisions; withdrawn, open and closed without decision stand
    apart, and people of unknown group are counted in `n_unknown`, never imputed. The
    estimate is the impact ratio; tests compare with all other groups; `mh_` columns
    hold the mix of jobs constant. `rng` is not drawn from.
    """
    counted = contents(
        warehouse, "select * from marts.fct_selection_counts", by="window_id"
    )
    return slices.by_window(
        windows(warehouse, "all", "year"),
        lambda window: [policy.model_dump_json(), counted[window.id]],
        lambda new: _adverse_impact(warehouse, policy, [window.id for window in new]),
    )


def _adverse_impact(warehouse: Warehouse, policy: Policy, asked: list[str]) -> pa.Table:
    """The rows of some windows."""
    groups = warehouse.read_arrow(_COUNTS.format(strata=""), [asked]).to_pandas()
    if groups.empty:
        return SCHEMA.empty_table()
    unknown = (
        groups[~groups["is_disclosed"]]
        .groupby(SLICE, as_index=False)["n"]
        .sum()
        .rename(columns={"n": "n_unknown"})
    )
    # A group of whom nobody was decided on has no rate, only its counts.
    frame = groups[groups["is_disclosed"] & (groups["n"] > 0)].reset_index(drop=True)
    if frame.empty:
        return SCHEMA.empty_table()
    frame = frame.merge(unknown, on=SLICE, how="left")
    frame["n_unknown"] = frame["n_unknown"].fillna(0).astype("int64")
    frame = _compared(frame, policy)
    strata = warehouse.read_arrow(_COUNTS.format(strata="stratum,"), [asked])
    frame = _adjusted(frame, strata.to_pandas(), policy)
    return arrow_table(_judged(frame, policy), SCHEMA)


def _compared(frame: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Each group against its reference and against all others."""
    code = group_codes(frame, SLICE)[0]
    selected, entered = frame["selected"].to_numpy(), frame["n"].to_numpy()
    reference = reference_groups(
        selected,
        entered,
        slice_code=code,
        min_expected=policy.show_minimum_parity_expected,
    )
    others = all_others(selected, entered, slice_code=code)
    ratio = impact_ratio(
        selected,
        entered,
        reference_selected=reference.selected,
        reference_entered=reference.entered,
    )
    tests = selection_tests(
        selected,
        entered,
        other_selected=others.selected,
        other_entered=others.entered,
    )
    rate = wilson(selected, entered)
    total = np.bincount(code, entered)[code]
    labels = frame["group_value"].to_numpy(object)
    known = reference.row >= 0
    return frame.assign(
        code=code,
        reference_selected=reference.selected,
        n_reference=reference.entered,
        other_selected=others.selected,
        other_entered=others.entered,
        reference_group=np.where(known, labels[reference.row], None),
        is_reference=reference.row == np.arange(len(frame)),
        estimate=ratio.estimate,
        ci_low=ratio.low,
        ci_high=ratio.high,
        ci_method=np.where(ratio.is_score, "Koopman score", "Katz log"),
        four_fifths_flag=ratio.is_below_four_fifths,
        flips_with_one=ratio.flips_with_one,
        cohen_h=ratio.cohen_h,
        selection_rate=rate.estimate,
        selection_rate_ci_low=rate.low,
        selection_rate_ci_high=rate.high,
        fisher_p=tests.fisher_p,
        midp=tests.mid_p,
        z_hyper=tests.z_hyper,
        sd_units=tests.sd_units,
        shortfall=tests.shortfall,
        phi=tests.phi,
        # Of the test that is made: against all others.
        min_detectable_ratio=min_detectable_ratio(
            entered,
            reference_selected=others.selected,
            reference_entered=others.entered,
        ),
        ll144_excluded=entered < _LL144_SHARE * total,
    )


def _adjusted(
    frame: pd.DataFrame, strata: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """Mantel-Haenszel against the reference group over strata of jobs.

    Only strata that hold both groups tell anything, so as many people of each must be
    in them as a comparison needs.
    """
    # Groups by number: millions of strata are compared.
    code, groups = group_codes(strata, GROUP)
    strata = pd.DataFrame(
        {
            "group": code,
            "stratum": pd.factorize(strata["stratum"])[0],
            "n": strata["n"],
            "selected": strata["selected"],
        }
    )
    named = groups.reset_index(names="group")
    rows = frame[[*GROUP, "reference_group", "is_reference"]].assign(
        row=np.arange(len(frame))
    )
    rows = rows[~rows["is_reference"] & rows["reference_group"].notna()]
    rows = rows.merge(named, on=GROUP).merge(
        named.rename(columns={"group": "beside", "group_value": "reference_group"}),
        on=[*SLICE, "reference_group"],
    )[["row", "group", "beside"]]
    beside = strata.rename(
        columns={"group": "beside", "n": "beside_n", "selected": "beside_selected"}
    )
    paired = rows.merge(strata, on="group").merge(beside, on=["beside", "stratum"])
    result = mantel_haenszel(
        paired["selected"],
        paired["n"],
        reference_selected=paired["beside_selected"],
        reference_entered=paired["beside_n"],
        slice_code=paired["row"],
        n_slices=len(frame),
    )
    shared = paired[(paired["n"] > 0) & (paired["beside_n"] > 0)]
    enough = np.ones(len(frame), dtype=np.bool_)
    for side in ("n", "beside_n"):
        people = np.bincount(shared["row"], shared[side], len(frame))
        enough &= people >= policy.show_minimum_parity_group
    adjusted = {
        "mh_or": result.odds_ratio,
        "mh_rr": result.rate_ratio,
        "mh_rr_ci_low": result.rr_low,
        "mh_rr_ci_high": result.rr_high,
        "bd_p": result.homogeneity_p,
        "std_rate": result.standardised_rate,
    }
    frame = frame.assign(
        **{name: np.where(enough, value, np.nan) for name, value in adjusted.items()}
    )
    # Of the two ratios that stand in the row.
    opposite = (frame["estimate"] - 1) * (frame["mh_rr"] - 1) < 0
    return frame.assign(simpson_flag=opposite)


def _judged(frame: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Status, q-values and evidence; thin groups keep counts and exact p only."""
    pooled = frame["selected"].groupby(frame["code"]).transform("sum")
    rate = pooled / frame["n"].groupby(frame["code"]).transform("sum")
    least = policy.show_minimum_parity_group
    expected = rate * np.minimum(frame["n"], frame["n_reference"])
    few = (
        (frame["n"] < least)
        | (frame["n_reference"] < least)
        | (expected < policy.show_minimum_parity_expected)
    )
    tested = ~few & ~frame["is_reference"]
    p = frame["midp"].where(tested)
    # Groups of two attributes repeat those of one: they are a family of their own.
    family = group_codes(
        frame.assign(
            pooled=frame["role_family"] == "all",
            crossed=frame["attribute"] == INTERSECTION,
        ),
        ("window_id", "pooled", "crossed"),
    )[0]
    q = benjamini_hochberg(p.to_numpy(float), family)
    found = evidence(
        frame["selected"],
        frame["n"],
        reference_selected=frame["reference_selected"],
        reference_entered=frame["n_reference"],
        other_selected=frame["other_selected"],
        other_entered=frame["other_entered"],
        q=q,
        alpha=policy.false_discovery_rate,
    )
    crosses = (frame["ci_low"] <= 1) & (frame["ci_high"] >= 1)
    # An infinite ratio says only that the reference selected nobody.
    shown = ~few & np.isfinite(frame["estimate"])
    frame = frame.assign(
        p=p,
        q=q,
        evidence=np.where(few, "insufficient", found),
        status=np.select(
            [~shown, crosses & ~frame["is_reference"]],
            ["insufficient", "inconclusive"],
            "ok",
        ),
        ci_method=np.where(~shown | frame["is_reference"], "none", frame["ci_method"]),
    )
    ratios = [
        "estimate", "ci_low", "ci_high", "mh_or", "mh_rr", "mh_rr_ci_low",
        "mh_rr_ci_high", "bd_p", "std_rate", "min_detectable_ratio", "cohen_h",
        "phi",
    ]  # fmt: skip
    frame.loc[~shown, ratios] = np.nan
    frame.loc[frame["is_reference"], ["ci_low", "ci_high", "min_detectable_ratio"]] = (
        np.nan
    )
    flags = ["four_fifths_flag", "flips_with_one", "simpson_flag"]
    frame[flags] = frame[flags].astype(object).where(shown, None)
    return frame
