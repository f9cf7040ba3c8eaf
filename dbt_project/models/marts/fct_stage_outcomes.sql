with applications as (

    select * from {{ ref('int_applications') }}

),

stages as (

    select * from {{ ref('int_stages') }}

),

visits as (

    select * from {{ ref('int_stage_visits') }}

),

first_stages as (

    select
        role_family,
        min(stage_order) as first_order
    from stages
    group by role_family

),

visited as (

    select
        application_id,
        stage,
        stage_order,
        min(entered_at) as visited_at,
        sum(visit_days) as in_stage_days,
        bool_or(is_censored) as is_in_stage_censored
    from visits
    group by application_id, stage, stage_order

),

furthest as (

    select
        application_id,
        max(stage_order) as furthest_order
    from visited
    group by application_id

),

-- Reached is every stage up to the furthest one; without a visit it was skipped.
reached as (

    select
        applications.application_id,
        applications.role_family,
        applications.source,
        applications.applied_at,
        applications.terminal_kind,
        applications.terminal_at,
        stages.stage,
        stages.stage_order,
        stages.stage_group,
        stages.next_stage,
        coalesce(furthest.furthest_order, first_stages.first_order) as furthest_order
    from applications
    inner join first_stages on applications.role_family = first_stages.role_family
    left join furthest on applications.application_id = furthest.application_id
    inner join stages
        on
            applications.role_family = stages.role_family
            and stages.stage_order
            <= coalesce(furthest.furthest_order, first_stages.first_order)

),

with_entry as (

    select
        reached.*,
        visited.in_stage_days,
        coalesce(
            visited.visited_at,
            case when reached.stage_group = 'applied' then reached.applied_at end
        ) as visited_at,
        coalesce(visited.is_in_stage_censored, false) as is_in_stage_censored
    from reached
    left join visited
        on
            reached.application_id = visited.application_id
            and reached.stage = visited.stage

),

with_later_entry as (

    select
        *,
        min(visited_at) over (
            partition by application_id
            order by stage_order asc
            rows between 1 following and unbounded following
        ) as later_entry_at
    from with_entry

),

judged as (

    select
        *,
        visited_at is null as is_skipped,
        coalesce(visited_at, later_entry_at) as first_entered_at,
        case
            when stage_order < furthest_order then 'advanced'
            when terminal_kind = 'hired' then 'advanced'
            when terminal_kind = 'rejected' then 'rejected'
            when terminal_kind = 'withdrawn' then 'withdrew'
            when terminal_kind = 'closed_no_decision' then 'closed_no_decision'
            else 'open'
        end as outcome,
        case
            when stage_order < furthest_order
                then coalesce(later_entry_at, visited_at)
            else terminal_at
        end as raw_outcome_at
    from with_later_entry
    where stage_group <> 'hired'

),

timed as (

    select
        *,
        case
            when raw_outcome_at is not null
                then greatest(raw_outcome_at, first_entered_at)
        end as outcome_at
    from judged

),

final as (

    select
        application_id,
        stage,
        role_family,
        source,
        stage_order,
        stage_group,
        next_stage,
        first_entered_at,
        is_skipped,
        outcome,
        outcome_at,
        {{ days_between(
            'first_entered_at', 'coalesce(outcome_at, ' ~ as_of_end() ~ ')'
        ) }} as outcome_days,
        case when not is_skipped then in_stage_days end as in_stage_days,
        is_in_stage_censored
    from timed

)

select * from final
