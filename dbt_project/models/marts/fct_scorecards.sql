with scorecards as (

    select * from {{ ref('int_scorecards') }}

),

hiring_team as (

    select * from {{ ref('stg_hiring_team') }}

),

hiring_managers as (

    select
        job_id,
        person_id
    from hiring_team
    where role = 'hiring_manager'

),

managed_jobs as (

    select distinct job_id from hiring_managers

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
        case
            when managed_jobs.job_id is not null
                then hiring_managers.person_id is not null
        end as is_hiring_manager
    from scorecards
    left join managed_jobs on scorecards.job_id = managed_jobs.job_id
    left join hiring_managers
        on
            scorecards.job_id = hiring_managers.job_id
            and scorecards.interviewer_id = hiring_managers.person_id

)

select * from final
