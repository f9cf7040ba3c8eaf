with estimates as (

    select * from {{ source('statistics', 'predictive_validity') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

final as (

    select
        windows.window_id,
        windows.window_kind,
        windows.window_label,
        windows.window_start,
        windows.window_end,
        windows.is_closed,
        estimates.role_family,
        estimates.predictor_kind,
        estimates.predictor,
        estimates.outcome,
        estimates.horizon_months,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        estimates.n_applicants_scored,
        estimates.n_hired,
        estimates.share_left,
        estimates.sd_ratio_u,
        estimates.selection_kind,
        estimates.r_corrected,
        estimates.r_corrected_ci_low,
        estimates.r_corrected_ci_high,
        estimates.ryy_assumed,
        estimates.r_operational,
        estimates.benchmark,
        estimates.n_complete,
        estimates.delta_r2,
        estimates.delta_r2_p,
        estimates.delta_r2_q,
        estimates.unique_r2,
        estimates.unique_r2_ci_low,
        estimates.unique_r2_ci_high,
        estimates.dominated_by,
        case
            when estimates.status = 'insufficient'
                then
                    'fewer than {{ var("policy").show_minimum_outcomes }}'
                    || ' hires with a review'
            when estimates.status = 'inconclusive' then 'the interval includes zero'
            when estimates.n < {{ var('policy').act_minimum_outcomes }}
                then
                    'early: fewer than {{ var("policy").act_minimum_outcomes }}'
                    || ' hires with a review'
            else ''
        end as status_reason
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
