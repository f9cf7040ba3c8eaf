with applications as (

    select * from {{ ref('int_applications') }}

),

first_application as (

    select cast(min(applied_at) as date) as first_on from applications

),

windows as (

    {{ window_rows() }}

),

final as (

    select
        windows.window_id,
        windows.window_kind,
        windows.window_label,
        windows.window_start,
        windows.window_end,
        windows.is_closed,
        windows.window_number
    from windows
    cross join first_application
    where windows.window_end > first_application.first_on

)

select * from final
