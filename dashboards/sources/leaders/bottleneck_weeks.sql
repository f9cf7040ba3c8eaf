select
    role_family,
    -- 0 is the last week; a category of 26 dates would not fit a phone.
    date_diff('week', max(window_start) over (), window_start) as week,
    readable(stage) as stage,
    stage_order,
    avg_wip
from bottlenecks
where window_kind = 'week'
order by role_family, window_start, stage_order
