with estimates as (

    select * from {{ source('statistics', 'round_signal') }}

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
        estimates.round,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        estimates.n_multi,
        estimates.n_all_rounds,
        estimates.snr,
        estimates.hours_per_candidate,
        estimates.info_per_hour,
        estimates.composite_reliability,
        estimates.reliability_without,
        estimates.marginal_reliability,
        estimates.marginal_reliability_ci_low,
        estimates.marginal_reliability_ci_high,
        estimates.redundancy_r,
        estimates.redundancy_r_ci_low,
        estimates.redundancy_r_ci_high,
        estimates.redundant_with,
        estimates.decision_consistency,
        estimates.borderline_share,
        estimates.borderline_share_ci_low,
        estimates.borderline_share_ci_high,
        estimates.flip_rate,
        estimates.flip_rate_ci_low,
        estimates.flip_rate_ci_high,
        estimates.candidate_dropoff,
        estimates.candidate_dropoff_ci_low,
        estimates.candidate_dropoff_ci_high,
        estimates.verdict,
        case
            when estimates.status = 'boundary'
                then 'candidates were not found to differ'
            when estimates.status <> 'insufficient' then ''
            when
                estimates.n_multi < {{ var('policy').show_minimum_candidates }}
                then
                    'fewer than {{ var("policy").show_minimum_candidates }} candidates'
                    || ' rated by two'
            else 'candidates and interviewers cannot be told apart'
        end as status_reason
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
