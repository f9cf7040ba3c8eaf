with scorecards as (

    select * from {{ ref('int_scorecards') }}

),

final as (

    select
        scorecard_id,
        application_id,
        candidate_id,
        interviewer_id,
        interviewer_department,
        role_family,
        job_id,
        round,
        submitted_at,
        panel_role,
        is_shadow,
        has_debrief,
        is_before_debrief,
        minutes,
        coalesce(rubric_id, 'unspecified') as rubric_id,
        coalesce(rubric_version, 'unspecified') as rubric_version
    from scorecards

)

select * from final
