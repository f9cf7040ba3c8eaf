with estimates as (

    select * from {{ source('statistics', 'time_to_hire') }}

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
        estimates.measure,
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
                then 'fewer than {{ var("policy").show_minimum_entered }} cases'
            else 'more than half are still open'
        end as status_reason,
        estimates.p85_days,
        estimates.n_open
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
