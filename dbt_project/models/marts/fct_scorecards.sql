with scorecards as (

    select * from {{ ref('int_scorecards') }}

),

hiring_managers as (

    select
        job_id,
        person_id
    from {{ ref('stg_hiring_team') }}
    where role = 'hiring_manager'

),

final as (

    select
        scorecards.scorecard_id,
        scorecards.application_id,
        scorecards.candidate_id,
        scorecards.interviewer_id,
        scorecards.interviewer_department,
        scorecards.role_family,
        scorecards.job_id,
        scorecards.round,
        scorecards.submitted_at,
        scorecards.panel_role,
        scorecards.is_shadow,
        scorecards.has_debrief,
        scorecards.is_before_debrief,
        scorecards.minutes,
        coalesce(scorecards.rubric_id, 'unspecified') as rubric_id,
        coalesce(scorecards.rubric_version, 'unspecified') as rubric_version,
        hiring_managers.person_id is not null as is_hiring_manager
    from scorecards
    left join hiring_managers
        on
            scorecards.job_id = hiring_managers.job_id
            and scorecards.interviewer_id = hiring_managers.person_id

)

select * from final
