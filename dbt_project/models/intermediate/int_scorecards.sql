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

interviews as (

    select * from {{ ref('stg_interviews') }}

),

debriefs as (

    select * from {{ ref('stg_debriefs') }}

),

delivered as (

    select count(*) > 0 as has_interviewers from interviewers

),

numbered_debriefs as (

    select
        application_id,
        started_at,
        count(*) over (partition by application_id) as n_debriefs
    from debriefs
    where started_at < {{ as_of_end() }}

),

-- A loop may be debriefed stage by stage: a card belongs to the first debrief after its
-- interview. Where the interview is not known, only an only debrief can be its own.
first_debriefs as (

    select
        scorecards.scorecard_id,
        min(numbered_debriefs.started_at) as debrief_at
    from scorecards
    inner join numbered_debriefs
        on scorecards.application_id = numbered_debriefs.application_id
    left join interviews on scorecards.interview_id = interviews.interview_id
    where
        numbered_debriefs.started_at >= interviews.scheduled_at
        or (interviews.scheduled_at is null and numbered_debriefs.n_debriefs = 1)
    group by scorecards.scorecard_id

),

final as (

    select
        scorecards.scorecard_id,
        applications.application_id,
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
        first_debriefs.debrief_at,
        panel.minutes,
        coalesce(scorecards.panel_role, panel.panel_role, 'panel') as panel_role,
        coalesce(scorecards.panel_role, panel.panel_role, 'panel')
        in ('shadow', 'reverse_shadow') as is_shadow,
        first_debriefs.debrief_at is not null as has_debrief,
        case
            when first_debriefs.debrief_at is not null
                then scorecards.submitted_at <= first_debriefs.debrief_at
        end as is_before_debrief
    from scorecards
    cross join delivered
    inner join applications
        on
            scorecards.application_id = applications.delivered_application_id
            and {{ in_episode('scorecards.submitted_at') }}
    left join interviewers
        on scorecards.interviewer_id = interviewers.interviewer_id
    left join panel
        on
            scorecards.interview_id = panel.interview_id
            and scorecards.interviewer_id = panel.interviewer_id
    left join first_debriefs
        on scorecards.scorecard_id = first_debriefs.scorecard_id
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
