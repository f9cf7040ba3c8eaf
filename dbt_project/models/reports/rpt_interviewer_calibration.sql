with estimates as (

    select * from {{ source('statistics', 'interviewer_calibration') }}

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
        estimates.interviewer_id,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status = 'inconclusive' then 'the interval includes zero'
            when estimates.status = 'boundary'
                then 'interviewers were not found to differ'
            when estimates.status <> 'insufficient' then ''
            when estimates.n < {{ var('policy').show_minimum_interviewer_candidates }}
                then
                    'fewer than'
                    || ' {{ var("policy").show_minimum_interviewer_candidates }}'
                    || ' candidates'
            else 'no peer rated in the same rounds'
        end as status_reason,
        estimates.n_cards,
        estimates.n_corated,
        estimates.severity_raw,
        estimates.severity_shrunk,
        estimates.se,
        estimates.z,
        estimates.p,
        estimates.q,
        estimates.sd_ratio,
        estimates.modal_share,
        estimates.halo_index,
        estimates.rest_correlation,
        estimates.infit,
        estimates.outfit,
        estimates.infit_critical,
        estimates.outfit_critical,
        estimates.flag
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
