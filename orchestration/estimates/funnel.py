"""Funnel: who moves on from each stage, by cohort and by activity (T4)."""

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.estimates.slices import NOTHING_KEPT, Slices
from orchestration.estimates.windows import Window, contents, windows
from orchestration.settings import Policy
from orchestration.statistics.durations import (
    Incidence,
    Quantiles,
    cumulative_incidence,
    survival_quantiles,
)
from orchestration.statistics.proportions import wilson
from orchestration.warehouse import Warehouse

OUTCOMES = ("advanced", "rejected", "withdrew", "closed_no_decision")
KEYS = ("window_id", "role_family", "source", "stage")
_BY_SOURCE = {
    "source": "case when grouping(source) = 1 then 'all' else source end",
    "pools": "cube (role_family, source)",
}
# A month of one channel has too few applications to say anything, and years to every
# quarter are for trends.
_ALL_SOURCES = {"source": "'all'", "pools": "cube (role_family)"}
_KINDS_BY_SOURCE = ("all", "quarter", "year")
_KINDS = (*_KINDS_BY_SOURCE, "month", "rolling")
# Whole hours: nothing a reader sees is finer, and a million visits share few of them.
# Windows, which overlap, begin with a month: cases are counted by month before.
_PLACED = """
    with cases as (
        select
            role_family,
            coalesce(source, 'unspecified') as source,
            stage,
            outcome,
            is_skipped,
            is_in_stage_censored,
            round(outcome_days * 24) / 24 as outcome_days,
            round(in_stage_days * 24) / 24 as in_stage_days,
            date_trunc('month', {moment}) as month
        from marts.fct_stage_outcomes
    ),
    counted as (
        select role_family, source, stage, month, {columns}, count(*) as n
        from cases
        {where}
        group by all
    ),
    placed as (
        select windows.window_id, counted.*
        from counted
        inner join marts.dim_windows as windows
            on counted.month >= windows.window_start
            and counted.month < windows.window_end
            and windows.window_id in (select unnest(?))
    )
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        {source} as source,
        stage,
        {columns},
        cast(sum(n) as bigint) as n
    from placed
    group by window_id, stage, {columns}, {pools}
"""
_COHORT = {
    "moment": "first_entered_at",
    "columns": "outcome, is_skipped, outcome_days",
    "where": "",
}
_IN_STAGE = {
    "moment": "first_entered_at",
    "columns": "is_in_stage_censored, in_stage_days",
    "where": "where in_stage_days is not null",
}
_ACTIVITY = {
    "moment": "outcome_at",
    "columns": "outcome",
    "where": "where outcome <> 'open'",
}

SCHEMA = pa.schema(
    [
        ("basis", pa.string()), ("window_id", pa.string()),
        ("role_family", pa.string()), ("source", pa.string()), ("stage", pa.string()),
        ("n", pa.int64()), ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("entered", pa.int64()), ("advanced", pa.int64()),
        ("rejected", pa.int64()), ("withdrew", pa.int64()),
        ("closed_no_decision", pa.int64()), ("open", pa.int64()),
        ("skipped", pa.int64()), ("maturity", pa.float64()),
        ("horizon_days", pa.float64()), ("aj_reject_h", pa.float64()),
        ("aj_reject_h_ci_low", pa.float64()), ("aj_reject_h_ci_high", pa.float64()),
        ("aj_withdraw_h", pa.float64()), ("aj_withdraw_h_ci_low", pa.float64()),
        ("aj_withdraw_h_ci_high", pa.float64()), ("conversion_closed", pa.float64()),
        ("conversion_closed_ci_low", pa.float64()),
        ("conversion_closed_ci_high", pa.float64()), ("km_median_days", pa.float64()),
        ("km_median_days_ci_low", pa.float64()),
        ("km_median_days_ci_high", pa.float64()), ("p85_days", pa.float64()),
    ]
)  # fmt: skip


def funnel(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return conversion and time in stage by window, role family, source and stage.

    Rows with basis `cohort` hold applications that first entered a stage in the window
    and the probability that they were at a later one within the horizon; open ones are
    censored at `as_of`. Rows with basis `activity` hold exits of the window. `all`
    pools role families or sources. Months, and years that end with any quarter, have
    cohort rows over all sources only. Insufficient rows keep their counts. `rng` is not
    drawn from.
    """
    entered, left = (
        contents(warehouse, f"select * from marts.fct_stage_outcomes{where}", by=moment)
        for moment, where in (
            ("first_entered_at", ""),
            ("outcome_at", " where outcome <> 'open'"),
        )
    )
    return slices.by_window(
        windows(warehouse, *_KINDS),
        lambda window: [
            policy.model_dump_json(),
            window.kind,
            entered[window.id],
            left[window.id],
        ],
        lambda new: _funnel(warehouse, policy, new),
    )


def _funnel(warehouse: Warehouse, policy: Policy, new: list[Window]) -> pa.Table:
    """Cohort and activity rows of some windows."""
    by_source = [window.id for window in new if window.kind in _KINDS_BY_SOURCE]
    others = [window.id for window in new if window.kind not in _KINDS_BY_SOURCE]
    found = [
        _cohort(warehouse, policy, by_source, _BY_SOURCE),
        _cohort(warehouse, policy, others, _ALL_SOURCES),
        _activity(warehouse, policy, by_source),
    ]
    rows = [frame for frame in found if not frame.empty]
    if not rows:
        return SCHEMA.empty_table()
    return arrow_table(pd.concat(rows, ignore_index=True), SCHEMA)


def _placed(
    warehouse: Warehouse,
    cases: dict[str, str],
    asked: list[str],
    pooled: dict[str, str],
) -> pd.DataFrame:
    """Cases counted by window and slice."""
    query = _PLACED.format(**cases, **pooled)
    return warehouse.read_arrow(query, [asked]).to_pandas()


def _cohort(
    warehouse: Warehouse, policy: Policy, asked: list[str], pooled: dict[str, str]
) -> pd.DataFrame:
    """One row per slice and stage, of applications that entered in the window."""
    cases = _placed(warehouse, _COHORT, asked, pooled)
    code, frame = group_codes(cases, KEYS)
    weight = cases["n"].to_numpy()
    cause = cases["outcome"].map(
        {"open": 0, **{name: place + 1 for place, name in enumerate(OUTCOMES)}}
    )
    incidence = cumulative_incidence(
        cases["outcome_days"],
        cause.to_numpy(np.int64),
        horizon=policy.horizon_days,
        group=code,
        n_groups=len(frame),
        n_causes=len(OUTCOMES),
        count=weight,
    )
    size = len(frame)
    counts = {
        name: np.bincount(
            code, weight * (cases["outcome"] == name), minlength=size
        ).astype(np.int64)
        for name in ("open", *OUTCOMES)
    }
    entered = np.bincount(code, weight, minlength=size).astype(np.int64)
    frame = frame.assign(
        basis="cohort",
        n=entered,
        entered=entered,
        **counts,
        skipped=np.bincount(code, weight * cases["is_skipped"], minlength=size).astype(
            np.int64
        ),
        maturity=incidence.maturity,
        horizon_days=policy.horizon_days,
        ci_method="Aalen-Johansen, log-log",
    )
    frame = _with_incidence(frame, incidence)
    frame = _with_conversion(frame)
    frame = _with_time_in_stage(frame, warehouse, asked, pooled)
    few = frame["n"] < policy.show_minimum_entered
    # Nobody observed to the horizon: the curve does not get there.
    early = (
        few
        | ~(frame["maturity"] >= policy.show_minimum_maturity)
        | frame["estimate"].isna()
    )
    rates = ("estimate", "aj_reject_h", "aj_withdraw_h", "conversion_closed")
    _blank(frame, early, rates)
    _blank(frame, few, ("km_median_days",))
    frame.loc[few, "p85_days"] = np.nan
    return frame.assign(
        status=np.where(early, "insufficient", "ok"),
        ci_method=np.where(early, "none", frame["ci_method"]),
    )


def _with_incidence(frame: pd.DataFrame, incidence: Incidence) -> pd.DataFrame:
    """The probability of each way out within the horizon, with bounds."""
    for name, column in (("", 0), ("aj_reject_h_", 1), ("aj_withdraw_h_", 2)):
        frame[name.rstrip("_") or "estimate"] = incidence.estimate[:, column]
        frame[f"{name}ci_low"] = incidence.low[:, column]
        frame[f"{name}ci_high"] = incidence.high[:, column]
    return frame


def _with_conversion(frame: pd.DataFrame) -> pd.DataFrame:
    """Advanced among those whose stay has ended."""
    closed = frame["entered"] - frame["open"]
    share = wilson(frame["advanced"], closed)
    return frame.assign(
        conversion_closed=share.estimate,
        conversion_closed_ci_low=share.low,
        conversion_closed_ci_high=share.high,
    )


def _with_time_in_stage(
    frame: pd.DataFrame,
    warehouse: Warehouse,
    asked: list[str],
    pooled: dict[str, str],
) -> pd.DataFrame:
    """Median and 85th percentile of days in the stage, open stays censored."""
    stays = _placed(warehouse, _IN_STAGE, asked, pooled)
    code, stayed = group_codes(stays, KEYS)
    times: Quantiles = survival_quantiles(
        stays["in_stage_days"],
        ~stays["is_in_stage_censored"].to_numpy(bool),
        group=code,
        n_groups=len(stayed),
        probability=[0.5, 0.85],
        count=stays["n"],
    )
    stayed = stayed.assign(
        km_median_days=times.estimate[:, 0],
        km_median_days_ci_low=times.low[:, 0],
        km_median_days_ci_high=times.high[:, 0],
        p85_days=times.estimate[:, 1],
    )
    return frame.merge(stayed, on=list(KEYS), how="left", validate="one_to_one")


def _activity(warehouse: Warehouse, policy: Policy, asked: list[str]) -> pd.DataFrame:
    """One row per slice and stage, of exits in the window."""
    exits = _placed(warehouse, _ACTIVITY, asked, _BY_SOURCE)
    code, frame = group_codes(exits, KEYS)
    weight, size = exits["n"].to_numpy(), len(frame)
    counts = {
        name: np.bincount(
            code, weight * (exits["outcome"] == name), minlength=size
        ).astype(np.int64)
        for name in OUTCOMES
    }
    n = np.bincount(code, weight, minlength=size).astype(np.int64)
    share = wilson(counts["advanced"], n)
    few = n < policy.show_minimum_entered
    frame = frame.assign(
        basis="activity",
        n=n,
        estimate=share.estimate,
        ci_low=share.low,
        ci_high=share.high,
        **counts,
        status=np.where(few, "insufficient", "ok"),
        ci_method=np.where(few, "none", "Wilson"),
    )
    _blank(frame, pd.Series(few), ("estimate",))
    return frame


def _blank(frame: pd.DataFrame, where: pd.Series, columns: tuple[str, ...]) -> None:
    """Take the numbers out of rows that have too little behind them."""
    for name in columns:
        prefix = "" if name == "estimate" else f"{name}_"
        frame.loc[where, [name, f"{prefix}ci_low", f"{prefix}ci_high"]] = np.nan
