-- No generic test compares a row with the next one of its application: an application
-- is in one stage at a time, or its days would count twice.
with visits as (

    select * from {{ ref('fct_stage_visits') }}

),

followed as (

    select
        application_id,
        stage,
        visit_number,
        stage_group,
        exited_at,
        lead(entered_at) over (
            partition by application_id order by entered_at asc, stage_order asc
        ) as next_entered_at
    from visits
    where entered_at is not null

),

final as (

    select
        application_id,
        stage,
        visit_number
    from followed
    where
        stage_group <> 'hired'
        and next_entered_at is not null
        and (exited_at is null or exited_at > next_entered_at)

)

select * from final
