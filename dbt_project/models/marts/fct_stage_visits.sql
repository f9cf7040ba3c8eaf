with visits as (

    select * from {{ ref('int_stage_visits') }}

),

final as (

    select
        application_id,
        stage,
        visit_number,
        reentry_number,
        role_family,
        source,
        stage_order,
        stage_group,
        round,
        waits_on,
        sla_days,
        entered_at,
        exited_at,
        is_censored,
        visit_days,
        entered_at_quality,
        is_last_visit
    from visits

)

select * from final
