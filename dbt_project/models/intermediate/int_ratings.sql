with ratings as (

    select * from {{ ref('stg_ratings') }}

),

scorecards as (

    select * from {{ ref('int_scorecards') }}

),

scales as (

    select * from {{ source('design', 'rating_scales') }}

),

rubrics as (

    select distinct
        rubric_id,
        rubric_version,
        scale_id
    from scales
    where rubric_id is not null

),

declared as (

    select distinct rubric_id from rubrics

),

sources as (

    select distinct
        _source,
        scale_id
    from scales
    where rubric_id is null

),

spelled as (

    select
        ratings.scorecard_id,
        ratings.competency,
        ratings.has_evidence,
        ratings._source,
        ratings._file,
        ratings._line,
        scorecards.application_id,
        scorecards.candidate_id,
        scorecards.interviewer_id,
        scorecards.role_family,
        scorecards.round,
        scorecards.rubric_id,
        scorecards.rubric_version,
        scorecards.submitted_at,
        scorecards.is_shadow,
        scorecards.has_debrief,
        scorecards.debrief_at,
        coalesce(ratings.question_id, 'none') as question_id,
        lower(trim(coalesce(ratings.rating, ''))) as spelling,
        coalesce(
            ratings.updated_at, ratings.rated_at, scorecards.submitted_at
        ) as version_at,
        rubrics.scale_id is not null as has_rubric_scale,
        -- A version that its rubric does not have, where the rubric is declared.
        declared.rubric_id is not null
        and scorecards.rubric_version is not null
        and rubrics.scale_id is null as has_unknown_version
    from ratings
    inner join scorecards on ratings.scorecard_id = scorecards.scorecard_id
    left join rubrics
        on
            scorecards.rubric_id = rubrics.rubric_id
            and scorecards.rubric_version = rubrics.rubric_version
    left join declared on scorecards.rubric_id = declared.rubric_id

),

-- The scale of the rubric version on the scorecard, else that of the source, else a
-- plain number as it stands. Another scale is never tried.
valued as (

    select
        spelled.*,
        sources.scale_id is not null as has_source_scale,
        coalesce(by_rubric.spelling, by_source.spelling) is not null as is_known,
        coalesce(by_rubric.rating_value, by_source.rating_value) as scale_value,
        coalesce(by_rubric.scale_id, by_source.scale_id) as scale_id,
        coalesce(by_rubric.scale_min, by_source.scale_min) as scale_min,
        coalesce(by_rubric.scale_max, by_source.scale_max) as scale_max,
        coalesce(by_rubric.n_levels, by_source.n_levels) as n_levels,
        try_cast(spelled.spelling as double) as plain_value
    from spelled
    left join scales as by_rubric
        on
            spelled.has_rubric_scale
            and spelled.rubric_id = by_rubric.rubric_id
            and spelled.rubric_version = by_rubric.rubric_version
            and spelled.spelling = by_rubric.spelling
    left join scales as by_source
        on
            not spelled.has_rubric_scale
            and not spelled.has_unknown_version
            and by_source.rubric_id is null
            and spelled._source = by_source._source
            and spelled.spelling = by_source.spelling
    left join sources
        on spelled._source = sources._source

),

told_apart as (

    select
        *,
        not has_rubric_scale
        and not has_source_scale
        and not has_unknown_version as is_plain
    from valued

),

judged as (

    select
        *,
        case
            when is_known then scale_value
            when is_plain then plain_value
        end as rating_value,
        case
            when spelling in ('', 'n/a', 'no_decision') then 'missing'
            when has_unknown_version then 'unknown_rubric_version'
            when is_known and scale_value is null then 'missing'
            when is_known then 'given'
            when is_plain and plain_value is not null then 'given'
            else 'rating_off_scale'
        end as rating_state
    from told_apart

),

final as (

    select
        scorecard_id,
        competency,
        question_id,
        version_at,
        has_evidence,
        application_id,
        candidate_id,
        interviewer_id,
        role_family,
        round,
        submitted_at,
        is_shadow,
        has_debrief,
        debrief_at,
        rating_value,
        rating_state,
        scale_min,
        scale_max,
        n_levels,
        _source,
        _file,
        _line,
        coalesce(rubric_id, 'unspecified') as rubric_id,
        coalesce(rubric_version, 'unspecified') as rubric_version,
        case when is_plain then 'plain:' || _source else scale_id end as scale_id
    from judged

)

select * from final
