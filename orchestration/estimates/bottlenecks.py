"""Bottlenecks: where applications wait longer than they should, or pile up (T5)."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import norm

from orchestration.estimates.frames import Z95, arrow_table, group_codes
from orchestration.estimates.slices import NOTHING_KEPT, Slices
from orchestration.estimates.windows import contents_of
from orchestration.settings import Policy
from orchestration.statistics.durations import survival_quantiles
from orchestration.statistics.flow import backlog_growth, littles_law
from orchestration.statistics.multiplicity import benjamini_hochberg
from orchestration.warehouse import Warehouse

Floats = NDArray[np.float64]
KEYS = ["window_id", "role_family", "stage"]
MARTS = ("dim_stages", "dim_windows", "fct_scorecards", "fct_stage_outcomes",
          "fct_stage_visits", "fct_stage_weeks")  # fmt: skip
_WEEK_DAYS = 7.0

_KINDS = "('quarter', 'rolling', 'year')"
_WINDOWS = f"""
    select window_id, window_kind, window_start, window_end
    from marts.dim_windows
    where window_kind in {_KINDS}
    order by window_kind, window_start
"""
# Stays of applications that entered a stage in the window, or in the year before it.
# Windows, which overlap, begin with a month: stays are counted by month before.
_STAYS = """
    with stays as (
        select
            role_family,
            stage,
            date_trunc('month', first_entered_at) as month,
            round(in_stage_days * 24) / 24 as days,
            is_in_stage_censored as is_open,
            count(*) as n
        from marts.fct_stage_outcomes
        where in_stage_days is not null
        group by all
    ),
    placed as (
        select windows.window_id, stays.*
        from stays
        inner join marts.dim_windows as windows
            on stays.month >= windows.{start}
            and stays.month < windows.{end}
        where windows.window_kind in {kinds}
    )
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        stage,
        days,
        is_open,
        cast(sum(n) as bigint) as n
    from placed
    group by window_id, stage, days, is_open, cube (role_family)
    order by all
"""
_IN_WINDOW = _STAYS.format(start="window_start", end="window_end", kinds=_KINDS)
_YEAR_BEFORE = _STAYS.format(
    start="window_start - interval '1' year", end="window_start", kinds=_KINDS
)
_WEEKS = """
    select
        role_family,
        stage,
        week_start,
        n_arrived,
        n_left,
        wip_days
    from marts.fct_stage_weeks
    union all
    select
        'all' as role_family,
        stage,
        week_start,
        cast(sum(n_arrived) as bigint) as n_arrived,
        cast(sum(n_left) as bigint) as n_left,
        cast(sum(cast(round(wip_days * 86400000) as bigint)) as double) / 86400000
            as wip_days
    from marts.fct_stage_weeks
    group by stage, week_start
    order by all
"""
_STAGES = """
    select role_family, stage, sla_days, waits_on from marts.dim_stages
    order by all
"""
_OPEN_AT_END = f"""
    select
        windows.window_id,
        visits.role_family,
        visits.stage,
        visits.entered_at,
        cast(windows.window_end as timestamp) as window_end
    from marts.fct_stage_visits as visits
    inner join marts.dim_windows as windows
        on visits.entered_at < windows.window_end
        and (visits.exited_at is null or visits.exited_at >= windows.window_end)
    where windows.window_kind in {_KINDS} and windows.is_closed
    order by all
"""
# A round belongs to the stage most of its cards are given in: single cards come late.
# Whole seconds add up to the same sum in any order.
_INTERVIEWS = """
    with timed as (
        select *, cast(round(minutes * 60) as bigint) as own_seconds
        from marts.fct_scorecards
        where not is_shadow
    ),
    cards as (
        select
            scorecard_id,
            application_id,
            interviewer_id,
            role_family,
            coalesce(round, 'unspecified') as round,
            submitted_at,
            coalesce(
                own_seconds,
                cast(
                    round(
                        sum(own_seconds) over (partition by role_family, round)
                        / nullif(
                            count(own_seconds) over (partition by role_family, round), 0
                        )
                    ) as bigint
                )
            ) as seconds
        from timed
    ),
    given as (
        select
            cards.role_family,
            cards.round,
            outcomes.stage,
            outcomes.stage_order,
            row_number() over (
                partition by cards.scorecard_id order by outcomes.stage_order desc
            ) as place
        from cards
        inner join marts.fct_stage_outcomes as outcomes
            on cards.application_id = outcomes.application_id
            and cards.submitted_at >= outcomes.first_entered_at
            and not outcomes.is_skipped
    ),
    homes as (
        select
            role_family,
            round,
            stage,
            row_number() over (
                partition by role_family, round
                order by count(*) desc, min(stage_order) asc, stage asc
            ) as place
        from given
        where place = 1
        group by role_family, round, stage
    ),
    interviews as (
        select cards.*, homes.stage
        from cards
        inner join homes
            on cards.role_family = homes.role_family
            and cards.round = homes.round
            and homes.place = 1
    )
"""
_HOURS_GIVEN = f"""
    {_INTERVIEWS}
    select
        role_family,
        stage,
        interviewer_id,
        cast(date_trunc('week', submitted_at) as date) as week_start,
        cast(sum(seconds) as bigint) / 3600.0 as hours
    from interviews
    where interviewer_id is not null and seconds is not null
    group by role_family, stage, interviewer_id, date_trunc('week', submitted_at)
    order by role_family, stage, interviewer_id, week_start
"""
# Of the applications that entered a stage in the window and have left it.
_HOURS_TAKEN = f"""
    {_INTERVIEWS},
    spent as (
        select
            application_id,
            stage,
            sum(seconds) as seconds,
            count(seconds) as n_timed
        from interviews
        group by application_id, stage
    ),
    visits as (
        select application_id, stage, count(*) as n_visits
        from marts.fct_stage_visits
        group by application_id, stage
    ),
    taken as (
        select
            outcomes.role_family,
            outcomes.stage,
            date_trunc('month', outcomes.first_entered_at) as month,
            count(*) as n_left,
            sum(coalesce(visits.n_visits, 1)) as n_visits,
            sum(coalesce(spent.n_timed, 0)) as n_timed,
            count(spent.application_id) as n_interviewed,
            sum(coalesce(spent.seconds, 0)) as seconds
        from marts.fct_stage_outcomes as outcomes
        left join spent
            on outcomes.application_id = spent.application_id
            and outcomes.stage = spent.stage
        left join visits
            on outcomes.application_id = visits.application_id
            and outcomes.stage = visits.stage
        where not outcomes.is_skipped and not outcomes.is_in_stage_censored
        group by all
    )
    select
        windows.window_id,
        case when grouping(taken.role_family) = 1 then 'all'
            else taken.role_family end as role_family,
        taken.stage,
        cast(sum(taken.n_left) as bigint) as n_left,
        cast(sum(taken.n_visits) as bigint) as n_visits,
        cast(sum(taken.n_timed) as bigint) as n_timed,
        cast(sum(taken.n_interviewed) as bigint) as n_interviewed,
        cast(sum(taken.seconds) as bigint) / 3600.0 as hours
    from taken
    inner join marts.dim_windows as windows
        on taken.month >= windows.window_start
        and taken.month < windows.window_end
    where windows.window_kind in {_KINDS}
    group by windows.window_id, taken.stage, cube (taken.role_family)
    order by all
"""
# A busy but ordinary week: one in seven is busier.
_BUSY_WEEK = 0.85

SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("stage", pa.string()), ("n", pa.int64()), ("estimate", pa.float64()),
        ("ci_low", pa.float64()), ("ci_high", pa.float64()),
        ("ci_method", pa.string()), ("status", pa.string()), ("p", pa.float64()),
        ("avg_wip", pa.float64()), ("arrival_rate", pa.float64()),
        ("throughput", pa.float64()), ("little_w_days", pa.float64()),
        ("backlog_growth", pa.float64()), ("backlog_growth_ci_low", pa.float64()),
        ("backlog_growth_ci_high", pa.float64()), ("backlog_growth_p", pa.float64()),
        ("backlog_growth_q", pa.float64()), ("ageing_over_p85", pa.float64()),
        ("share_of_cycle_days", pa.float64()), ("km_median_days", pa.float64()),
        ("km_median_days_ci_low", pa.float64()),
        ("km_median_days_ci_high", pa.float64()), ("p85_days", pa.float64()),
        ("reference_days", pa.float64()), ("reference_kind", pa.string()),
        ("interviewer_hours_demand", pa.float64()),
        ("interviewer_hours_capacity", pa.float64()),
        ("interviewer_hours_status", pa.string()),
        ("bottleneck_rank", pa.int64()), ("is_bottleneck", pa.bool_()),
    ]
)  # fmt: skip


def bottlenecks(
    warehouse: Warehouse,
    policy: Policy,
    *,
    rng: np.random.Generator,
    slices: Slices = NOTHING_KEPT,
) -> pa.Table:
    """Return waiting and backlog by window, role family and stage.

    The estimate is the median days in the stage above its reference: the declared SLA,
    else the stage's own median of the year before the window. Backlog growth is
    arrivals less departures a week; its interval and p come from overlapping blocks of
    weeks, so `rng` is not used. Interviewers' hours are what arrivals ask of them a
    week, and what those of the stage give in a busy one. Role family `all` pools.
    Every window depends on all of the history, which tells which round a stage has and
    how long it takes.
    """
    return slices.table(
        [policy.model_dump_json(), *contents_of(warehouse, MARTS)],
        lambda: _bottlenecks(warehouse, policy),
    )


def _bottlenecks(warehouse: Warehouse, policy: Policy) -> pa.Table:
    """All windows at once."""
    stays = _times(warehouse, _IN_WINDOW)
    if stays.empty:
        return SCHEMA.empty_table()
    before = _times(warehouse, _YEAR_BEFORE)
    before = before.loc[
        before["n"] >= policy.show_minimum_entered,
        [*KEYS, "median", "low", "high", "p85"],
    ].rename(columns=lambda name: name if name in KEYS else f"before_{name}")
    frame = stays.merge(before, on=KEYS, how="left")
    stages = warehouse.read_arrow(_STAGES).to_pandas()
    frame = frame.merge(stages, on=["role_family", "stage"], how="left")
    frame["sla_days"] = frame["sla_days"].astype(float)
    windows = warehouse.read_arrow(_WINDOWS).to_pandas()
    frame = frame.merge(windows[["window_id", "window_kind", "window_start"]])
    flow = _flow(warehouse, windows)
    frame = frame.merge(flow, on=KEYS, how="left")
    growth = [name for name in flow if name.startswith("backlog_growth")]
    frame.loc[frame["n"] < policy.show_minimum_entered, growth] = np.nan
    frame = frame.merge(_capacity(warehouse, windows), on=KEYS, how="left")
    frame = _interviewing(warehouse, frame, policy)
    frame = _above_reference(frame, policy)
    frame = frame.merge(_ageing(warehouse, frame), on=KEYS, how="left")
    frame = frame.merge(_named(frame), on=KEYS, how="left")
    return arrow_table(frame.sort_values(KEYS), SCHEMA)


def _times(warehouse: Warehouse, query: str) -> pd.DataFrame:
    """Median and 85th percentile of days in the stage by slice."""
    cases = warehouse.read_arrow(query).to_pandas()
    code, frame = group_codes(cases, KEYS)
    times = survival_quantiles(
        cases["days"],
        ~cases["is_open"].to_numpy(bool),
        group=code,
        n_groups=len(frame),
        probability=[0.5, 0.85],
        count=cases["n"],
    )
    return frame.assign(
        n=times.n,
        median=times.estimate[:, 0],
        low=times.low[:, 0],
        high=times.high[:, 0],
        p85=times.estimate[:, 1],
    )


def _flow(warehouse: Warehouse, windows: pd.DataFrame) -> pd.DataFrame:
    """Arrivals, departures and work in progress of the whole weeks of each window."""
    weeks = warehouse.read_arrow(_WEEKS).to_pandas()
    if weeks.empty:
        return pd.DataFrame(columns=KEYS)
    weeks["week_start"] = pd.to_datetime(weeks["week_start"])
    known = np.sort(weeks["week_start"].unique())
    place = weeks["week_start"].map({week: at for at, week in enumerate(known)})
    code, slices = group_codes(weeks, KEYS[1:])
    shape = (len(slices), known.size)
    arrived, left, wip = (np.zeros(shape) for _ in range(3))
    # Weeks in which a stage saw nobody count as zero.
    arrived[code, place] = weeks["n_arrived"]
    left[code, place] = weeks["n_left"]
    wip[code, place] = weeks["wip_days"]
    parts = []
    for window in windows.itertuples(index=False):
        inside = (known >= np.datetime64(window.window_start)) & (
            known < np.datetime64(window.window_end)
        )
        if inside.sum() < 2:
            continue
        growth = backlog_growth(arrived[:, inside], left[:, inside])
        days = wip[:, inside].sum(axis=1)
        queue = littles_law(
            days,
            arrived[:, inside].sum(axis=1),
            left[:, inside].sum(axis=1),
            length=inside.sum() * _WEEK_DAYS,
            per=_WEEK_DAYS,
        )
        total = pd.Series(days).groupby(slices["role_family"]).transform("sum")
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(
                slices.assign(
                    window_id=window.window_id,
                    avg_wip=queue.number,
                    arrival_rate=queue.arrival_rate,
                    throughput=queue.throughput,
                    little_w_days=queue.time,
                    backlog_growth=growth.estimate,
                    backlog_growth_ci_low=growth.low,
                    backlog_growth_ci_high=growth.high,
                    backlog_growth_p=growth.p,
                    share_of_cycle_days=days / total.to_numpy(),
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=KEYS)


def _capacity(warehouse: Warehouse, windows: pd.DataFrame) -> pd.DataFrame:
    """Hours a week that the interviewers of each stage can give.

    Each interviewer can give what a busy week of the year up to the window's end saw;
    weeks without an interview say nothing about it. Stages share interviewers in
    proportion to the hours they had of them in the window.
    """
    given = warehouse.read_arrow(_HOURS_GIVEN).to_pandas()
    columns = [*KEYS, "interviewer_hours_capacity"]
    if given.empty:
        return pd.DataFrame(columns=columns)
    weeks = pd.to_datetime(given["week_start"])
    parts = []
    for window in windows.itertuples(index=False):
        start, end = pd.Timestamp(window.window_start), pd.Timestamp(window.window_end)
        year = given[(weeks >= end - pd.DateOffset(years=1)) & (weeks < end)]
        weekly = year.groupby(["interviewer_id", "week_start"])["hours"].sum()
        busy = weekly.groupby("interviewer_id").quantile(_BUSY_WEEK)
        inside = given[(weeks >= start) & (weeks < end)]
        own = [*KEYS[1:], "interviewer_id"]
        hours = inside.groupby(own, as_index=False)["hours"].sum()
        share = hours["hours"] / hours.groupby("interviewer_id")["hours"].transform(
            "sum"
        )
        hours["interviewer_hours_capacity"] = share * hours["interviewer_id"].map(busy)
        both = pd.concat([hours, hours.assign(role_family="all")], ignore_index=True)
        parts.append(
            both.groupby(KEYS[1:], as_index=False)["interviewer_hours_capacity"]
            .sum()
            .assign(window_id=window.window_id)
        )
    return pd.concat(parts, ignore_index=True)[columns]


def _interviewing(
    warehouse: Warehouse, frame: pd.DataFrame, policy: Policy
) -> pd.DataFrame:
    """Hours a week that arrivals ask of interviewers, and why there are none."""
    taken = warehouse.read_arrow(_HOURS_TAKEN).to_pandas()
    frame = frame.merge(taken, on=KEYS, how="left")
    demand = frame["arrival_rate"] * frame["hours"] / frame["n_visits"]
    status = np.select(
        [
            ~(frame["n_interviewed"] > 0),
            ~(frame["n_timed"] > 0),
            ~(frame["n_left"] >= policy.show_minimum_entered) | demand.isna(),
        ],
        ["no interviews", "no minutes", "insufficient"],
        "ok",
    )
    shown = status == "ok"
    return frame.assign(
        interviewer_hours_demand=demand.where(shown),
        interviewer_hours_capacity=frame["interviewer_hours_capacity"].where(shown),
        interviewer_hours_status=status,
    )


def _above_reference(frame: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """Days above the reference with the doubt of both medians."""
    has_sla = frame["sla_days"].notna()
    reference = frame["sla_days"].where(has_sla, frame["before_median"])
    # The doubt of a difference of two medians: half-widths add in squares.
    before_up = (frame["before_high"] - frame["before_median"]).where(~has_sla, 0.0)
    before_down = (frame["before_median"] - frame["before_low"]).where(~has_sla, 0.0)
    estimate = frame["median"] - reference
    low = estimate - np.hypot(frame["median"] - frame["low"], before_up)
    high = estimate + np.hypot(frame["high"] - frame["median"], before_down)
    few = (frame["n"] < policy.show_minimum_entered) | estimate.isna()
    crosses = (low <= 0) & ~(high < 0)
    below = (estimate - low) / Z95
    # An interval without width is as sure as whole hours can be.
    p = norm.sf(np.where(below > 0, estimate / below, np.sign(estimate) * np.inf))
    shown = ~few
    return frame.assign(
        estimate=estimate.where(shown),
        ci_low=low.where(shown),
        ci_high=high.where(shown),
        p=pd.Series(p, index=frame.index).where(shown),
        ci_method=np.where(few, "none", "Kaplan-Meier medians, log-log"),
        status=np.select([few, crosses], ["insufficient", "inconclusive"], "ok"),
        km_median_days=frame["median"].where(frame["n"] >= policy.show_minimum_entered),
        km_median_days_ci_low=frame["low"].where(
            frame["n"] >= policy.show_minimum_entered
        ),
        km_median_days_ci_high=frame["high"].where(
            frame["n"] >= policy.show_minimum_entered
        ),
        p85_days=frame["p85"].where(frame["n"] >= policy.show_minimum_entered),
        reference_days=reference,
        reference_kind=np.select(
            [has_sla, reference.notna()], ["sla", "median of the year before"], "none"
        ),
    )


def _ageing(warehouse: Warehouse, frame: pd.DataFrame) -> pd.DataFrame:
    """Share of applications waiting at a window's end for longer than p85.

    That of the year before, since a stage that slows down moves its own; the window's
    own where the year before has too few applications.
    """
    waiting = warehouse.read_arrow(_OPEN_AT_END).to_pandas()
    age = waiting["window_end"] - waiting["entered_at"]
    waiting = waiting.assign(age_days=age / pd.Timedelta(days=1))
    both = pd.concat([waiting, waiting.assign(role_family="all")], ignore_index=True)
    p85 = frame["before_p85"].fillna(frame["p85_days"])
    both = both.merge(frame[KEYS].assign(limit=p85), on=KEYS)
    limit = both["limit"]
    both = both.assign(is_late=(both["age_days"] > limit).where(limit.notna()))
    shares = both.dropna(subset="is_late").astype({"is_late": float})
    return (
        shares.groupby(KEYS, as_index=False)["is_late"]
        .mean()
        .rename(columns={"is_late": "ageing_over_p85"})
    )


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank by share of waiting, q of backlog growth, and what counts as a bottleneck.

    A stage is one where the company is waited for and either days above the reference
    have a lower bound above zero in two quarters running, or the backlog grows (rule
    R11). Some stage always holds the largest share: that alone is no finding.
    """
    frame = frame.sort_values(["role_family", "stage", "window_kind", "window_start"])
    late = frame["ci_low"] > 0
    run = late.groupby([frame["role_family"], frame["stage"], frame["window_kind"]])
    before = run.shift(1, fill_value=False)
    twice = late & (before.astype(bool) | (frame["window_kind"] != "quarter"))
    families = group_codes(
        frame.assign(pooled=frame["role_family"] == "all"), ("window_id", "pooled")
    )[0]
    q = benjamini_hochberg(frame["backlog_growth_p"].to_numpy(float), families)
    grows = (frame["backlog_growth"] > 0) & (q < 0.05)
    rank = frame.groupby(["window_id", "role_family"])["share_of_cycle_days"].rank(
        method="first", ascending=False
    )
    return frame[KEYS].assign(
        backlog_growth_q=q,
        bottleneck_rank=rank.astype("Int64"),
        is_bottleneck=(frame["waits_on"] != "candidate") & (twice | grows),
    )
