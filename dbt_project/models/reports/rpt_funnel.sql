with estimates as (

    select * from {{ source('statistics', 'funnel') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

stages as (

    select * from {{ ref('dim_stages') }}

),

final as (

    select
        windows.window_id,
        windows.window_kind,
        windows.window_label,
        windows.window_start,
        windows.window_end,
        windows.is_closed,
        estimates.basis,
        estimates.role_family,
        estimates.source,
        estimates.stage,
        stages.stage_order,
        stages.stage_group,
        stages.next_stage,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status <> 'insufficient' then ''
            when estimates.n < {{ var('policy').show_minimum_entered }}
                then 'fewer than {{ var("policy").show_minimum_entered }} applications'
            else 'too few observed for {{ var("policy").horizon_days }} days yet'
        end as status_reason,
        estimates.entered,
        estimates.advanced,
        estimates.rejected,
        estimates.withdrew,
        estimates.closed_no_decision,
        estimates.open,
        estimates.skipped,
        estimates.maturity,
        estimates.horizon_days,
        case when estimates.basis = 'cohort' then estimates.estimate end
            as aj_advance_h,
        estimates.aj_reject_h,
        estimates.aj_reject_h_ci_low,
        estimates.aj_reject_h_ci_high,
        estimates.aj_withdraw_h,
        estimates.aj_withdraw_h_ci_low,
        estimates.aj_withdraw_h_ci_high,
        estimates.conversion_closed,
        estimates.conversion_closed_ci_low,
        estimates.conversion_closed_ci_high,
        estimates.km_median_days,
        estimates.km_median_days_ci_low,
        estimates.km_median_days_ci_high,
        estimates.p85_days,
        stages.sla_days
    from estimates
    inner join windows on estimates.window_id = windows.window_id
    left join stages
        on
            estimates.role_family = stages.role_family
            and estimates.stage = stages.stage

)

select * from final
