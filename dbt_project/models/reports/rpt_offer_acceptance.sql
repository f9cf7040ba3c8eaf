with estimates as (

    select * from {{ source('statistics', 'offer_acceptance') }}

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
        estimates.source,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status <> 'insufficient' then ''
            when estimates.n < {{ var('policy').show_minimum_entered }}
                then
                    'fewer than {{ var("policy").show_minimum_entered }}'
                    || ' offers answered'
            else 'too many offers are still pending'
        end as status_reason,
        estimates.extended,
        estimates.accepted,
        estimates.declined,
        estimates.expired,
        estimates.rescinded,
        estimates.pending,
        estimates.median_days_to_resolve,
        estimates.top_decline_reason,
        estimates.top_decline_reason_n
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
