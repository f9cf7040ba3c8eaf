with estimates as (

    select * from {{ source('statistics', 'score_gaps') }}

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
        estimates.competency,
        estimates.rubric_id,
        estimates.rubric_version,
        estimates.scale_id,
        estimates.attribute,
        estimates.group_value,
        estimates.reference_group,
        estimates.n,
        estimates.n_reference,
        estimates.n_unknown,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        estimates.mean_score,
        estimates.reference_mean_score,
        estimates.p,
        estimates.q,
        estimates.expected_impact_ratio,
        estimates.dif_smd,
        estimates.dif_delta,
        estimates.dif_p,
        estimates.dif_q,
        estimates.dif_class,
        case
            when estimates.status = 'inconclusive' then 'the interval includes zero'
            when estimates.status <> 'insufficient' then ''
            when estimates.n < 30 or estimates.n_reference < 30
                then 'fewer than 30 people in one of the groups'
            else 'scores do not vary'
        end as status_reason
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
