-- The one place where demographic answers meet scores; nothing below this grain leaves
-- it.
with ratings as (

    select * from {{ ref('fct_ratings') }}
    where is_independent and not is_shadow and rating_value is not null

),

applications as (

    select * from {{ ref('int_applications') }}

),

demographics as (

    select * from {{ ref('stg_demographics') }}

),

windows as (

    select * from {{ ref('dim_windows') }}
    where window_kind in ('year', 'all') and is_closed

),

-- A panel's score of a competency is the mean over its raters and questions.
scores as (

    select
        application_id,
        role_family,
        round,
        competency,
        rubric_id,
        rubric_version,
        scale_id,
        avg(rating_value) as score,
        max(submitted_at) as submitted_at
    from ratings
    where round is not null
    group by
        application_id, role_family, round, competency, rubric_id, rubric_version,
        scale_id

),

-- People are matched on the mean of the round, the competency itself included: few
-- other ratings measure too badly to match on.
matched as (

    select
        *,
        avg(score) over (
            partition by application_id, round, rubric_id, rubric_version, scale_id
        ) as round_mean
    from scores

),

answered as (

    select
        matched.role_family,
        matched.round,
        matched.competency,
        matched.rubric_id,
        matched.rubric_version,
        matched.scale_id,
        matched.submitted_at,
        demographics.attribute,
        lower(trim(demographics.value)) as group_value,
        round(matched.score, 2) as score,
        floor(matched.round_mean * 2 + 0.5) / 2 as matched_mean
    from matched
    inner join applications
        on matched.application_id = applications.application_id
    inner join demographics
        on applications.delivered_application_id = demographics.application_id

),

final as (

    select
        windows.window_id,
        answered.role_family,
        answered.round,
        answered.competency,
        answered.rubric_id,
        answered.rubric_version,
        answered.scale_id,
        answered.attribute,
        answered.group_value,
        answered.score,
        answered.matched_mean,
        count(*) as n,
        answered.group_value not in ('declined', 'unanswered') as is_disclosed
    from answered
    inner join windows
        on
            answered.submitted_at >= windows.window_start
            and answered.submitted_at < windows.window_end
    group by
        windows.window_id,
        answered.role_family,
        answered.round,
        answered.competency,
        answered.rubric_id,
        answered.rubric_version,
        answered.scale_id,
        answered.attribute,
        answered.group_value,
        answered.score,
        answered.matched_mean

)

select * from final
