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
        rubric_id,
        rubric_version,
        scale_id,
        competency,
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

-- The round's mean is a score of its own, for sex and race or ethnicity together.
totals as (

    select
        application_id,
        role_family,
        round,
        rubric_id,
        rubric_version,
        scale_id,
        'all' as competency,
        avg(score) as score,
        max(submitted_at) as submitted_at,
        avg(score) as round_mean
    from scores
    group by application_id, role_family, round, rubric_id, rubric_version, scale_id

),

scored as (

    select * from matched
    union all
    select * from totals

),

answers as (

    {{ answers('demographics', 'applications') }}

),

answered as (

    select
        scored.role_family,
        scored.round,
        scored.competency,
        scored.rubric_id,
        scored.rubric_version,
        scored.scale_id,
        scored.submitted_at,
        answers.attribute,
        answers.group_value,
        answers.is_disclosed,
        round(scored.score, 2) as score,
        floor(scored.round_mean * 2 + 0.5) / 2 as matched_mean
    from scored
    inner join applications
        on scored.application_id = applications.application_id
    inner join answers
        on
            applications.delivered_application_id = answers.application_id
            and (scored.competency = 'all') = (answers.attribute = 'intersection')

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
        answered.is_disclosed,
        count(*) as n
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
        answered.is_disclosed,
        answered.score,
        answered.matched_mean

)

select * from final
