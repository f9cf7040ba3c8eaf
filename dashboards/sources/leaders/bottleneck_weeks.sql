select
    role_family,
    cast(window_start as varchar) as starts_on,
    strftime(window_start, '%-d %b') as week,
    readable(stage) as stage,
    stage_order,
    avg_wip,
    arrival_rate,
    throughput
from bottlenecks
where window_kind = 'week'
order by role_family, window_start, stage_order
