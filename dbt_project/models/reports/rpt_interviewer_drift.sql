with estimates as (

    select * from {{ source('statistics', 'interviewer_drift') }}

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
        estimates.basis,
        estimates.interviewer_id,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        estimates.n_quarters,
        estimates.slope_blue,
        estimates.se,
        estimates.slope_common,
        estimates.z_vs_common,
        estimates.p,
        estimates.q,
        estimates.slope_shrunk,
        estimates.change_blue,
        estimates.change_shrunk,
        estimates.mdd,
        changed.window_label as change_quarter,
        estimates.ewma,
        estimates.ewma_lcl,
        estimates.ewma_ucl,
        estimates.cusum_high,
        estimates.cusum_low,
        estimates.is_outside_limits,
        estimates.flag,
        case
            when estimates.status = 'inconclusive' then 'the interval includes zero'
            when estimates.status = 'boundary' then 'slopes were not found to differ'
            when estimates.status <> 'insufficient' then ''
            when estimates.basis = 'quarter' then 'fewer than 5 cards, or no peer'
            else 'fewer than 4 quarters with cards, or no peer to compare with'
        end as status_reason
    from estimates
    inner join windows on estimates.window_id = windows.window_id
    left join windows as changed on estimates.change_quarter = changed.window_id

)

select * from final
