with shared_names as (

    select interviewer_name as name
    from interviewer_drift
    group by interviewer_name
    having count(distinct interviewer_id) > 1

)

select
    -- Two people may bear one name.
    interviewer_name || case
        when interviewer_name in (select name from shared_names)
            then ' (' || right(interviewer_id, 4) || ')'
        else ''
    end as interviewer,
    status,
    note(status, status_reason) as note,
    slope_blue - slope_common as slope,
    slope_blue - slope_common - 1.96 * se as slope_low,
    slope_blue - slope_common + 1.96 * se as slope_high,
    coalesce(flag, 'none') <> 'none' as is_flagged,
    case coalesce(flag, 'none') when 'none' then '–' else readable(flag) end as flag,
    as_count(n, status) as n,
    as_count(n_quarters, status) as n_quarters,
    as_decimal(slope_blue - slope_common, status) as per_quarter,
    decimal_range(
        slope_blue - slope_common - 1.96 * se, slope_blue - slope_common + 1.96 * se
    ) as interval,
    as_decimal(change_blue, status) as change,
    p_value(q) as q,
    as_decimal(mdd, status) as detectable,
    coalesce(change_quarter, '–') as changed_in,
    row_number() over (
        order by abs(z_vs_common) desc nulls last, interviewer_name
    ) as place
from interviewer_drift
where basis = 'trend' and interviewer_id <> 'none'
order by place
