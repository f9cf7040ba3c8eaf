select
    role_family || ' × ' || window_id as slice,
    interviewer_name as interviewer,
    status,
    status_reason,
    estimate,
    ci_low,
    ci_high,
    coalesce(flag, 'none') as flag_key,
    case coalesce(flag, 'none') when 'none' then '–' else flag end as flag,
    as_count(n, status) as n,
    as_count(n_corated, status) as n_corated,
    as_decimal(estimate, status) as severity,
    decimal_range(ci_low, ci_high) as interval,
    as_decimal(severity_raw, status) as severity_raw,
    p_value(q) as q,
    as_decimal(sd_ratio, status) as spread_ratio,
    as_percent(modal_share, status) as most_used_level_share,
    as_decimal(halo_index, status) as halo_index
from interviewer_calibration
-- Quarters of single roles are too thin to judge anybody by.
where interviewer_id <> 'none' and (window_kind = 'year' or role_family = 'all')
order by slice, estimate desc nulls last, interviewer
