with applications as (

    select * from {{ ref('int_applications') }}

),

stages as (

    select * from {{ ref('stg_stages') }}

),

stage_events as (

    select * from {{ ref('stg_stage_events') }}

),

declared_families as (

    select distinct role_family from stages

),

declared as (

    select
        role_family,
        stage,
        stage_group,
        round,
        waits_on,
        sla_days,
        cast("order" as bigint) as stage_order
    from stages

),

steps as (

    select
        applications.role_family,
        stage_events.stage,
        row_number() over (
            partition by stage_events.application_id
            order by stage_events.entered_at asc nulls last, stage_events.stage asc
        ) as step_number
    from stage_events
    inner join applications
        on stage_events.application_id = applications.application_id
    left join declared_families
        on applications.role_family = declared_families.role_family
    where declared_families.role_family is null

),

-- Without a declared order the mean step at which applications enter a stage tells it.
mean_steps as (

    select
        role_family,
        stage,
        avg(cast(step_number as double)) as mean_step
    from steps
    group by role_family, stage

),

observed as (

    select
        role_family,
        stage,
        cast(null as {{ dbt.type_string() }}) as stage_group,
        cast(null as {{ dbt.type_string() }}) as round,
        cast(null as {{ dbt.type_string() }}) as waits_on,
        cast(null as double) as sla_days,
        cast(
            row_number() over (
                partition by role_family order by mean_step asc, stage asc
            ) as bigint
        ) as stage_order
    from mean_steps

),

combined as (

    select
        role_family,
        stage,
        stage_group,
        round,
        waits_on,
        sla_days,
        stage_order
    from declared
    union all
    select
        role_family,
        stage,
        stage_group,
        round,
        waits_on,
        sla_days,
        stage_order
    from observed

),

final as (

    select
        role_family,
        stage,
        round,
        sla_days,
        stage_order,
        coalesce(
            stage_group, case when stage = 'hired' then 'hired' else 'interview' end
        ) as stage_group,
        coalesce(waits_on, 'company') as waits_on,
        lead(stage) over (
            partition by role_family order by stage_order asc, stage asc
        ) as next_stage
    from combined

)

select * from final
