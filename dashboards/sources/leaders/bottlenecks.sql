select
    role_family,
    pooled(role_family, 'all roles') as role,
    role_family = 'all' as is_all_roles,
    window_id,
    window_kind,
    window_label || case when not is_closed then ' (open)' else '' end as window_label,
    cast(window_start as varchar) as starts_on,
    window_kind = 'year' and window_start = (
        select max(window_start) from bottlenecks where window_kind = 'year'
    ) as is_latest_year,
    stage as stage_key,
    readable(stage) as stage,
    stage_order,
    readable(waits_on) as waits_on,
    status,
    note(status, status_reason) as note,
    coalesce(is_bottleneck, false) as is_bottleneck,
    case when is_bottleneck then 'bottleneck' else '–' end as finding,
    bottleneck_rank,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_days(estimate, status) as days_above_reference,
    days_range(ci_low, ci_high) as interval,
    case
        when reference_days is null then 'none yet'
        else
            printf('%.1f', reference_days)
            || case reference_kind when 'sla' then ' (target)' else ' (year before)' end
    end as reference,
    as_days(km_median_days, status) as median_days,
    as_days(p85_days, status) as p85_days,
    as_percent(share_of_cycle_days, status) as share_of_cycle,
    as_days(avg_wip, status) as waiting_on_average,
    as_days(arrival_rate, status) as arrivals_per_week,
    as_days(throughput, status) as departures_per_week,
    as_decimal(backlog_growth, status) as backlog_growth_per_week,
    decimal_range(backlog_growth_ci_low, backlog_growth_ci_high) as backlog_interval,
    case
        when interviewer_hours_status = 'no interviews' then '–'
        else as_days(interviewer_hours_demand, status)
    end as hours_asked,
    case
        when interviewer_hours_status = 'no interviews' then '–'
        else as_days(interviewer_hours_capacity, status)
    end as hours_to_give
from bottlenecks
order by role_family, starts_on, stage_order
