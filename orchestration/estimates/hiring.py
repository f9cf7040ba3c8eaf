"""Time to hire, time to fill and offer acceptance."""

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.estimates.frames import arrow_table, group_codes
from orchestration.settings import Policy
from orchestration.statistics.durations import survival_quantiles
from orchestration.statistics.proportions import wilson
from orchestration.warehouse import Warehouse

_KINDS = "('quarter', 'rolling', 'year', 'all')"
_HIRED = f"""
    with hired as (
        select
            role_family,
            coalesce(source, 'unspecified') as source,
            coalesce(offer_accepted_at, hired_at) as hired_at,
            days_to_hire
        from marts.fct_applications
    ),
    placed as (
        select
            windows.window_id,
            hired.role_family,
            hired.source,
            hired.days_to_hire as days
        from hired
        inner join marts.dim_windows as windows
            on hired.hired_at >= windows.window_start
            and hired.hired_at < windows.window_end
            and windows.window_kind in {_KINDS}
        where hired.days_to_hire >= 0
    )
    select
        'time_to_hire' as measure,
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        case when grouping(source) = 1 then 'all' else source end as source,
        days,
        false as is_open,
        cast(count(*) as bigint) as n
    from placed
    group by window_id, days, cube (role_family, source)
"""
_FILLED = f"""
    with placed as (
        select
            windows.window_id,
            openings.role_family,
            openings.days_open as days,
            openings.filled_at is null as is_open
        from marts.fct_openings as openings
        inner join marts.dim_windows as windows
            on openings.opened_at >= windows.window_start
            and openings.opened_at < windows.window_end
            and windows.window_kind in {_KINDS}
        where openings.days_open >= 0
    )
    select
        'time_to_fill' as measure,
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        'all' as source,
        days,
        is_open,
        cast(count(*) as bigint) as n
    from placed
    group by window_id, days, is_open, cube (role_family)
"""
_OFFERS = f"""
    with placed as (
        select
            windows.window_id,
            offers.role_family,
            coalesce(offers.source, 'unspecified') as source,
            offers.offer_status,
            coalesce(offers.decline_reason, 'not stated') as decline_reason,
            offers.days_to_resolve
        from marts.fct_offers as offers
        inner join marts.dim_windows as windows
            on offers.extended_at >= windows.window_start
            and offers.extended_at < windows.window_end
            and windows.window_kind in {_KINDS}
    )
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        case when grouping(source) = 1 then 'all' else source end as source,
        cast(count(*) as bigint) as extended,
        cast(count(*) filter (where offer_status = 'accepted') as bigint) as accepted,
        cast(count(*) filter (where offer_status = 'declined') as bigint) as declined,
        cast(count(*) filter (where offer_status = 'expired') as bigint) as expired,
        cast(count(*) filter (where offer_status = 'rescinded') as bigint)
            as rescinded,
        cast(count(*) filter (where offer_status = 'pending') as bigint) as pending,
        median(days_to_resolve) filter (
            where offer_status in ('accepted', 'declined', 'expired')
        ) as median_days_to_resolve
    from placed
    group by window_id, cube (role_family, source)
    order by window_id, role_family, source
"""
_REASONS = f"""
    with placed as (
        select
            windows.window_id,
            offers.role_family,
            coalesce(offers.source, 'unspecified') as source,
            coalesce(offers.decline_reason, 'not stated') as decline_reason
        from marts.fct_offers as offers
        inner join marts.dim_windows as windows
            on offers.extended_at >= windows.window_start
            and offers.extended_at < windows.window_end
            and windows.window_kind in {_KINDS}
        where offers.offer_status = 'declined'
    )
    select
        window_id,
        case when grouping(role_family) = 1 then 'all' else role_family end
            as role_family,
        case when grouping(source) = 1 then 'all' else source end as source,
        decline_reason as top_decline_reason,
        cast(count(*) as bigint) as top_decline_reason_n
    from placed
    group by window_id, decline_reason, cube (role_family, source)
    order by
        window_id, role_family, source, top_decline_reason_n desc, decline_reason
"""
TIME_SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("measure", pa.string()),
        ("role_family", pa.string()), ("source", pa.string()), ("n", pa.int64()),
        ("estimate", pa.float64()), ("ci_low", pa.float64()),
        ("ci_high", pa.float64()), ("ci_method", pa.string()),
        ("status", pa.string()), ("p85_days", pa.float64()), ("n_open", pa.int64()),
    ]
)  # fmt: skip
OFFER_SCHEMA = pa.schema(
    [
        ("window_id", pa.string()), ("role_family", pa.string()),
        ("source", pa.string()), ("n", pa.int64()), ("estimate", pa.float64()),
        ("ci_low", pa.float64()), ("ci_high", pa.float64()),
        ("ci_method", pa.string()), ("status", pa.string()),
        ("extended", pa.int64()), ("accepted", pa.int64()), ("declined", pa.int64()),
        ("expired", pa.int64()), ("rescinded", pa.int64()), ("pending", pa.int64()),
        ("median_days_to_resolve", pa.float64()),
        ("top_decline_reason", pa.string()), ("top_decline_reason_n", pa.int64()),
    ]
)  # fmt: skip


def time_to_hire(
    warehouse: Warehouse, policy: Policy, *, rng: np.random.Generator
) -> pa.Table:
    """Return median days to hire and to fill, by window, role family and source.

    Time to hire: from applying to acceptance, in the window of acceptance. Time to
    fill: from opening to its acceptance, in the window of opening; openings that are
    open, or were closed unfilled, are censored. `rng` is not drawn from.
    """
    cases = pd.concat(
        [warehouse.read_arrow(query).to_pandas() for query in (_HIRED, _FILLED)],
        ignore_index=True,
    )
    code, frame = group_codes(cases, ("measure", "window_id", "role_family", "source"))
    if frame.empty:
        return TIME_SCHEMA.empty_table()
    is_open = cases["is_open"].to_numpy(bool)
    times = survival_quantiles(
        cases["days"].to_numpy(float),
        ~is_open,
        group=code,
        n_groups=len(frame),
        probability=[0.5, 0.85],
        count=cases["n"].to_numpy(),
    )
    few = times.n < policy.show_minimum_entered
    # The curve of a slice with many open cases may not come down to one half.
    unreached = np.isnan(times.estimate[:, 0])
    frame = frame.assign(
        n=times.n,
        n_open=np.bincount(code, cases["n"] * is_open, minlength=len(frame)).astype(
            np.int64
        ),
        estimate=np.where(few, np.nan, times.estimate[:, 0]),
        ci_low=np.where(few, np.nan, times.low[:, 0]),
        ci_high=np.where(few, np.nan, times.high[:, 0]),
        p85_days=np.where(few, np.nan, times.estimate[:, 1]),
        ci_method=np.where(few | unreached, "none", "Kaplan-Meier, log-log"),
        status=np.where(few | unreached, "insufficient", "ok"),
    )
    return arrow_table(frame, TIME_SCHEMA)


def offer_acceptance(
    warehouse: Warehouse, policy: Policy, *, rng: np.random.Generator
) -> pa.Table:
    """Return the share of offers accepted, by window of extension and slice.

    Accepted among accepted, declined and expired; rescinded and pending offers stand
    apart. Insufficient below the policy's minimum, or while too few are answered.
    `rng` is not drawn from.
    """
    frame = warehouse.read_arrow(_OFFERS).to_pandas()
    keys = ["window_id", "role_family", "source"]
    reasons = warehouse.read_arrow(_REASONS).to_pandas().drop_duplicates(keys)
    frame = frame.merge(reasons, on=keys, how="left", validate="one_to_one")
    n = (frame["accepted"] + frame["declined"] + frame["expired"]).to_numpy()
    share = wilson(frame["accepted"], n)
    answered = n / np.maximum(frame["extended"] - frame["rescinded"], 1)
    few = (n < policy.show_minimum_entered) | (answered < policy.show_minimum_maturity)
    frame = frame.assign(
        n=n,
        estimate=np.where(few, np.nan, share.estimate),
        ci_low=np.where(few, np.nan, share.low),
        ci_high=np.where(few, np.nan, share.high),
        median_days_to_resolve=frame["median_days_to_resolve"].where(~few),
        ci_method=np.where(few, "none", "Wilson"),
        status=np.where(few, "insufficient", "ok"),
        top_decline_reason_n=frame["top_decline_reason_n"].astype("Int64"),
    )
    # The reason of a few people would tell who they are.
    rare = ~(frame["top_decline_reason_n"] >= policy.smallest_group_size).fillna(False)
    frame.loc[rare, ["top_decline_reason", "top_decline_reason_n"]] = None
    return arrow_table(frame, OFFER_SCHEMA)
