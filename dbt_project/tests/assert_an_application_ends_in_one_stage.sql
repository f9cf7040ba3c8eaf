-- No generic test looks across the stages of an application: all of them but the
-- furthest are advanced, so that one ending is never counted in two stages.
with outcomes as (

    select * from {{ ref('fct_stage_outcomes') }}

),

placed as (

    select
        application_id,
        stage,
        outcome,
        stage_order = max(stage_order) over (
            partition by application_id
        ) as is_furthest
    from outcomes

),

final as (

    select
        application_id,
        stage
    from placed
    where outcome <> 'advanced' and not is_furthest

)

select * from final
