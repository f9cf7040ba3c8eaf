with applications as (

    select * from {{ ref('int_applications') }}

),

stages as (

    select * from {{ ref('int_stages') }}

),

stage_events as (

    select * from {{ ref('stg_stage_events') }}

),

entered as (

    select
        applications.application_id,
        stage_events.stage,
        stage_events.visit_id,
        stage_events.entered_at,
        case
            when stage_events.exited_at < {{ as_of_end() }} then stage_events.exited_at
        end as recorded_exit_at,
        stage_events.entered_at_quality,
        applications.role_family,
        applications.source,
        applications.terminal_at,
        stages.stage_order,
        stages.stage_group,
        stages.round,
        stages.waits_on,
        stages.sla_days,
        stage_events._file,
        stage_events._line
    from stage_events
    inner join applications
        on
            stage_events.application_id = applications.delivered_application_id
            and {{ in_episode('stage_events.entered_at') }}
    inner join stages
        on
            applications.role_family = stages.role_family
            and stage_events.stage = stages.stage
    where
        (stage_events.entered_at is null or stage_events.entered_at < {{ as_of_end() }})
        and not coalesce(stage_events.exited_at < stage_events.entered_at, false)

),

ordered as (

    select
        *,
        lead(entered_at) over (
            partition by application_id
            order by entered_at asc nulls last, stage_order asc, _line asc
        ) as next_entered_at,
        -- Over the same window as the next entry: one sort serves both.
        lead(application_id) over (
            partition by application_id
            order by entered_at asc nulls last, stage_order asc, _line asc
        ) is null as is_last_visit,
        row_number() over (
            partition by application_id, stage
            order by entered_at asc nulls last, _line asc
        ) as visit_number
    from entered

),

-- An application is in one stage at a time, so the next entry ends a visit whose exit
-- was recorded late or not at all; else the end of the application does. A visit
-- without any of these is open, and never ends "now".
exited as (

    select
        *,
        case
            when stage_group = 'hired' then null
            else coalesce(
                least(recorded_exit_at, next_entered_at),
                case when terminal_at >= entered_at then terminal_at end
            )
        end as exited_at
    from ordered

),

final as (

    select
        application_id,
        stage,
        cast(visit_number as bigint) as visit_number,
        cast(visit_number - 1 as bigint) as reentry_number,
        role_family,
        source,
        stage_order,
        stage_group,
        round,
        waits_on,
        sla_days,
        entered_at,
        exited_at,
        exited_at is null as is_censored,
        case
            when entered_at is not null
                then {{ days_between(
                    'entered_at', 'coalesce(exited_at, ' ~ as_of_end() ~ ')'
                ) }}
        end as visit_days,
        case
            when entered_at is null then 'missing'
            else coalesce(entered_at_quality, 'exact')
        end as entered_at_quality,
        is_last_visit
    from exited

)

select * from final
