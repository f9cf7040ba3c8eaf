with shared_names as (

    select interviewer_name as name
    from interviewer_calibration
    group by interviewer_name
    having count(distinct interviewer_id) > 1

)

select
    role_family || ' × ' || window_id as slice,
    -- Two people may bear one name.
    interviewer_name || case
        when interviewer_name in (select name from shared_names)
            then ' (' || right(interviewer_id, 4) || ')'
        else ''
    end as interviewer,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    coalesce(flag, 'none') <> 'none' as is_flagged,
    case coalesce(flag, 'none') when 'none' then '–' else readable(flag) end as flag,
    as_count(n, status) as n,
    as_count(n_corated, status) as n_corated,
    as_decimal(estimate, status) as severity,
    decimal_range(ci_low, ci_high) as interval,
    as_decimal(severity_raw, status) as severity_raw,
    p_value(q) as q,
    as_decimal(sd_ratio, status) as spread_ratio,
    as_decimal(outfit, status) as misfit,
    as_decimal(outfit_critical, status) as misfit_by_chance,
    as_percent(modal_share, status) as most_used_level_share,
    as_decimal(halo_index, status) as halo_index
from interviewer_calibration
-- Quarters of single roles are too thin to judge anybody by.
where interviewer_id <> 'none' and (window_kind <> 'quarter' or role_family = 'all')
order by slice, estimate desc nulls last, interviewer
