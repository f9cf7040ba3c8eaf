with ratings as (

    select * from {{ ref('int_ratings') }}

),

given as (

    select
        *,
        coalesce(has_debrief and version_at > debrief_at, false) as is_late
    from ratings
    where rating_state = 'given'

),

-- Few ratings have several versions, and ranking all of them by three text keys is what
-- takes longest: only those that have are ranked.
repeated as (

    select
        scorecard_id,
        competency,
        question_id,
        count(*) as n_versions,
        bool_or(is_late) as has_late_version
    from given
    group by scorecard_id, competency, question_id
    having count(*) > 1

),

-- Where a rating was changed, the last version before the debrief is the independent
-- one; the later ones are counted.
ranked as (

    select
        given.*,
        repeated.n_versions,
        repeated.has_late_version,
        row_number() over (
            partition by given.scorecard_id, given.competency, given.question_id
            order by
                given.is_late asc,
                given.version_at desc,
                given._line desc
        ) as version_rank
    from given
    inner join repeated
        on
            given.scorecard_id = repeated.scorecard_id
            and given.competency = repeated.competency
            and given.question_id = repeated.question_id

),

versions as (

    select
        given.*,
        1 as n_versions,
        given.is_late as has_late_version,
        1 as version_rank
    from given
    left join repeated
        on
            given.scorecard_id = repeated.scorecard_id
            and given.competency = repeated.competency
            and given.question_id = repeated.question_id
    where repeated.scorecard_id is null
    union all
    select * from ranked
    where version_rank = 1

),

plain_scales as (

    select
        scale_id,
        min(rating_value) as plain_min,
        max(rating_value) as plain_max,
        count(distinct rating_value) as plain_levels
    from given
    where scale_min is null
    group by scale_id

),

final as (

    select
        versions.scorecard_id,
        versions.competency,
        versions.question_id,
        versions.application_id,
        versions.candidate_id,
        versions.interviewer_id,
        versions.role_family,
        versions.round,
        versions.rubric_id,
        versions.rubric_version,
        versions.scale_id,
        cast(coalesce(versions.n_levels, plain_scales.plain_levels) as bigint)
            as n_levels,
        versions.rating_value,
        versions.submitted_at,
        versions.is_shadow,
        versions.has_debrief,
        cast(versions.n_versions as bigint) as n_versions,
        versions.has_evidence,
        coalesce(versions.scale_min, plain_scales.plain_min) as scale_min,
        coalesce(versions.scale_max, plain_scales.plain_max) as scale_max,
        not versions.is_late as is_independent,
        versions.has_late_version and versions.n_versions > 1
            as was_changed_after_debrief
    from versions
    left join plain_scales on versions.scale_id = plain_scales.scale_id

)

select * from final
