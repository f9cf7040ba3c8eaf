-- The last 52 closed weeks; every stage and role has the same ones.
with newest as (

    select max(window_start) as week from stage_weeks

)

select
    role_family,
    stage as stage_key,
    cast(window_start as varchar) as starts_on,
    status,
    note(status, status_reason) as note,
    avg_wip,
    arrived,
    throughput,
    as_count(n, status) as n,
    as_days(avg_wip, status) as waiting_on_average,
    as_count(arrived, status) as arrivals,
    as_count(throughput, status) as departures,
    as_count(wip_end, status) as waiting_at_end,
    as_count(estimate, status) as growth,
    days_range(ci_low, ci_high) as interval
from stage_weeks
where
    window_start > (select week from newest) - interval '52' week
    or window_start is null
order by role_family, stage_key, starts_on
