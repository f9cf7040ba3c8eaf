with versions as (

    select * from {{ ref('stg_row_versions') }}

),

stage_events as (

    select * from {{ ref('stg_stage_events') }}

),

scorecards as (

    select * from {{ ref('stg_scorecards') }}

),

ratings as (

    select * from {{ ref('stg_ratings') }}

),

rating_states as (

    select * from {{ ref('int_ratings') }}

),

applications as (

    select * from {{ ref('stg_applications') }}

),

interviewers as (

    select * from {{ ref('stg_interviewers') }}

),

delivered as (

    select
        (select count(*) > 0 from {{ ref('stg_interviewers') }}) as has_interviewers,
        (select count(*) > 0 from {{ ref('stg_scorecards') }}) as has_scorecards,
        (select count(*) > 0 from {{ ref('stg_interviews') }}) as has_interviews,
        (select count(*) > 0 from {{ ref('stg_employees') }}) as has_employees

),

conflicts as (

    select
        entity,
        source,
        file,
        line,
        'conflict' as code
    from versions
    where version_state = 'conflict'

),

{% set to_applications = [
    'application_events', 'stage_events', 'interviews', 'scorecards', 'offers',
    'demographics', 'employees', 'debriefs', 'take_homes', 'candidate_surveys',
] %}
unknown_applications as (

    {% for entity in to_applications %}
        select
            '{{ entity }}' as entity,
            child._source as source,
            child._file as file,
            child._line as line,
            'unknown_application' as code
        from {{ ref('stg_' ~ entity) }} as child
        left join applications
            on child.application_id = applications.application_id
        where
            child.application_id is not null
            and applications.application_id is null
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

exits_before_entry as (

    select
        'stage_events' as entity,
        stage_events._source as source,
        stage_events._file as file,
        stage_events._line as line,
        'exit_before_entry' as code
    from stage_events
    inner join applications
        on stage_events.application_id = applications.application_id
    where stage_events.exited_at < stage_events.entered_at

),

unknown_stages as (

    select
        'stage_events' as entity,
        stage_events._source as source,
        stage_events._file as file,
        stage_events._line as line,
        'unknown_stage' as code
    from stage_events
    inner join {{ ref('int_applications') }} as in_families
        on stage_events.application_id = in_families.application_id
    left join {{ ref('int_stages') }} as known_stages
        on
            in_families.role_family = known_stages.role_family
            and stage_events.stage = known_stages.stage
    where
        known_stages.stage is null
        and not coalesce(stage_events.exited_at < stage_events.entered_at, false)

),

unknown_interviewers as (

    select
        'scorecards' as entity,
        scorecards._source as source,
        scorecards._file as file,
        scorecards._line as line,
        'unknown_interviewer' as code
    from scorecards
    inner join applications
        on scorecards.application_id = applications.application_id
    left join interviewers
        on scorecards.interviewer_id = interviewers.interviewer_id
    cross join delivered
    where interviewers.interviewer_id is null and delivered.has_interviewers

),

scorecards_before_application as (

    select
        'scorecards' as entity,
        scorecards._source as source,
        scorecards._file as file,
        scorecards._line as line,
        'scorecard_before_application' as code
    from scorecards
    inner join applications
        on scorecards.application_id = applications.application_id
    left join interviewers
        on scorecards.interviewer_id = interviewers.interviewer_id
    cross join delivered
    where
        scorecards.submitted_at < applications.applied_at
        and (
            interviewers.interviewer_id is not null
            or not delivered.has_interviewers
        )

),

unknown_scorecards as (

    select
        'ratings' as entity,
        ratings._source as source,
        ratings._file as file,
        ratings._line as line,
        'unknown_scorecard' as code
    from ratings
    left join scorecards on ratings.scorecard_id = scorecards.scorecard_id
    cross join delivered
    where scorecards.scorecard_id is null and delivered.has_scorecards

),

ratings_off_scale as (

    select
        'ratings' as entity,
        _source as source,
        _file as file,
        _line as line,
        rating_state as code
    from rating_states
    where rating_state in ('rating_off_scale', 'unknown_rubric_version')

),

unknown_interviews as (

    select
        'interview_panel' as entity,
        panel._source as source,
        panel._file as file,
        panel._line as line,
        'unknown_interview' as code
    from {{ ref('stg_interview_panel') }} as panel
    left join {{ ref('stg_interviews') }} as interviews
        on panel.interview_id = interviews.interview_id
    cross join delivered
    where interviews.interview_id is null and delivered.has_interviews

),

unknown_employees as (

    select
        'performance_reviews' as entity,
        reviews._source as source,
        reviews._file as file,
        reviews._line as line,
        'unknown_employee' as code
    from {{ ref('stg_performance_reviews') }} as reviews
    left join {{ ref('stg_employees') }} as employees
        on reviews.employee_id = employees.employee_id
    cross join delivered
    where employees.employee_id is null and delivered.has_employees

),

reviews_before_hire as (

    select
        'performance_reviews' as entity,
        reviews._source as source,
        reviews._file as file,
        reviews._line as line,
        'review_before_hire' as code
    from {{ ref('stg_performance_reviews') }} as reviews
    inner join {{ ref('stg_employees') }} as employees
        on reviews.employee_id = employees.employee_id
    where reviews.reviewed_on < employees.hired_on

),

offers_resolved_before as (

    select
        'offers' as entity,
        offers._source as source,
        offers._file as file,
        offers._line as line,
        'resolved_before_extended' as code
    from {{ ref('stg_offers') }} as offers
    inner join applications on offers.application_id = applications.application_id
    where offers.resolved_at < offers.extended_at

),

final as (

    {% set parts = [
        'conflicts', 'unknown_applications', 'exits_before_entry', 'unknown_stages',
        'unknown_interviewers', 'scorecards_before_application',
        'unknown_scorecards', 'ratings_off_scale', 'unknown_interviews',
        'unknown_employees', 'reviews_before_hire', 'offers_resolved_before',
    ] %}
    {% for part in parts %}
        select
            entity,
            source,
            file,
            line,
            code
        from {{ part }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from final
