with scorecards as (

    select * from {{ ref('stg_scorecards') }}

),

applications as (

    select * from {{ ref('int_applications') }}

),

interviewers as (

    select * from {{ ref('stg_interviewers') }}

),

panel as (

    select * from {{ ref('stg_interview_panel') }}

),

debriefs as (

    select * from {{ ref('stg_debriefs') }}

),

delivered as (

    select count(*) > 0 as has_interviewers from interviewers

),

first_debriefs as (

    select
        application_id,
        min(started_at) as debrief_at
    from debriefs
    where started_at < {{ as_of_end() }}
    group by application_id

),

final as (

    select
        scorecards.scorecard_id,
        scorecards.application_id,
        applications.candidate_id,
        scorecards.interviewer_id,
        interviewers.department as interviewer_department,
        applications.role_family,
        applications.job_id,
        scorecards.round,
        scorecards.rubric_id,
        scorecards.rubric_version,
        scorecards.interview_id,
        scorecards.submitted_at,
        coalesce(scorecards.panel_role, panel.panel_role, 'panel') as panel_role,
        coalesce(scorecards.panel_role, panel.panel_role, 'panel')
        in ('shadow', 'reverse_shadow') as is_shadow,
        first_debriefs.debrief_at is not null as has_debrief,
        first_debriefs.debrief_at,
        case
            when first_debriefs.debrief_at is not null
                then scorecards.submitted_at <= first_debriefs.debrief_at
        end as is_before_debrief,
        panel.minutes
    from scorecards
    cross join delivered
    inner join applications
        on scorecards.application_id = applications.application_id
    left join interviewers
        on scorecards.interviewer_id = interviewers.interviewer_id
    left join panel
        on
            scorecards.interview_id = panel.interview_id
            and scorecards.interviewer_id = panel.interviewer_id
    left join first_debriefs
        on scorecards.application_id = first_debriefs.application_id
    where
        not coalesce(scorecards.is_draft, false)
        and scorecards.submitted_at < {{ as_of_end() }}
        and scorecards.submitted_at >= applications.applied_at
        and (
            not delivered.has_interviewers
            or interviewers.interviewer_id is not null
        )

)

select * from final
