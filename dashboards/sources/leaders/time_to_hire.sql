select
    measure,
    role_family || ' × ' || source as slice,
    window_id,
    window_kind,
    window_label || case when not is_closed then ' (open)' else '' end as window_label,
    cast(window_start as varchar) as starts_on,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_days(estimate, status) as median_days,
    days_range(ci_low, ci_high) as interval,
    as_days(p85_days, status) as p85_days,
    as_count(n_open, status) as still_open
from time_to_hire
order by measure, slice, starts_on
