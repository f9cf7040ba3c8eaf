{# Every entity of the landing contract: its key and whether rows carry updated_at. #}
{% macro entities() %}
    {{ return({
        'applications': [['application_id'], true],
        'application_events': [['application_id', 'occurred_at', 'kind'], false],
        'candidates': [['candidate_id'], false],
        'jobs': [['job_id'], false],
        'openings': [['opening_id'], false],
        'hiring_team': [['job_id', 'person_id', 'role'], false],
        'stages': [['role_family', 'stage'], false],
        'stage_events': [['application_id', 'stage', 'entered_at', 'visit_id'], true],
        'interviewers': [['interviewer_id'], false],
        'interviewer_capacity': [['interviewer_id', 'week'], false],
        'interviews': [['interview_id'], true],
        'interview_panel': [['interview_id', 'interviewer_id'], false],
        'interview_questions': [['interview_id', 'question_id'], false],
        'scorecards': [['scorecard_id'], true],
        'ratings': [['scorecard_id', 'competency', 'question_id', 'updated_at'], true],
        'debriefs': [['debrief_id'], false],
        'debrief_votes': [['debrief_id', 'interviewer_id', 'phase'], false],
        'offers': [['offer_id', 'version'], true],
        'demographics': [['application_id', 'attribute'], false],
        'demographic_counts':
            [['stage', 'attribute', 'value', 'period', 'role_family'], false],
        'employees': [['employee_id'], false],
        'performance_reviews': [['review_id'], false],
        'take_homes': [['submission_id'], false],
        'assessment_results':
            [['submission_id', 'item_id', 'grader', 'grader_id', 'trial'], false],
        'candidate_surveys': [['application_id', 'round'], false],
        'calibration_sessions': [['session_id'], false],
        'calibration_scores':
            [['session_id', 'scorecard_id', 'competency', 'interviewer_id', 'phase'],
             false],
        'consents': [['candidate_id', 'purpose'], false],
    }) }}
{% endmacro %}

{# The rows of a raw entity that do not count, and why.

   Between files the greatest updated_at wins, else the row under a person's first id,
   else the later extract date in the file name; equal rows are one; what still differs is a conflict, and none of it counts.
   Only keys that occur more than once are ranked: most entities have none. #}
{% macro losing_rows(entity) %}
    {%- set key, has_updated_at = entities()[entity] -%}
    {%- set newest -%}
        {% if has_updated_at %}keyed.updated_at desc nulls last, {% endif -%}
        keyed._is_alias asc nulls first, keyed._extracted_on desc nulls last
    {%- endset %}
    select
        '{{ entity }}' as entity,
        ranked._source as source,
        ranked._file as file,
        ranked._line as line,
        case when tied._key is not null and ranked.version_rank = 1
            then 'conflict' else 'superseded'
        end as version_state
    from (
        select
            keyed.*,
            row_number() over (
                partition by keyed._key
                order by
                    {{ newest }},
                    keyed._content asc, keyed._file asc, keyed._line asc
            ) as version_number,
            dense_rank() over (
                partition by keyed._key order by {{ newest }}
            ) as version_rank
        from ({{ keyed_rows(entity) }}) as keyed
        inner join (
            select _key
            from ({{ keyed_rows(entity) }}) as counted
            group by _key
            having count(*) > 1
        ) as repeated on keyed._key = repeated._key
    ) as ranked
    left join (
        select _key
        from (
            select
                keyed._key,
                keyed._content,
                dense_rank() over (
                    partition by keyed._key order by {{ newest }}
                ) as version_rank
            from ({{ keyed_rows(entity) }}) as keyed
            inner join (
                select _key
                from ({{ keyed_rows(entity) }}) as counted
                group by _key
                having count(*) > 1
            ) as repeated on keyed._key = repeated._key
        ) as newest_versions
        where version_rank = 1
        group by _key
        having count(distinct _content) > 1
    ) as tied on ranked._key = tied._key
    where ranked.version_number > 1 or tied._key is not null
{% endmacro %}

{% macro keyed_rows(entity) -%}
    {%- set key, has_updated_at = entities()[entity] -%}
    select
        _source, _file, _line, _extracted_on, _content,
        coalesce(_is_alias, false) as _is_alias,
        {% if has_updated_at %}updated_at,{% endif %}
        {% for column in key -%}
            coalesce(cast({{ column }} as {{ dbt.type_string() }}), '')
            {%- if not loop.last %} || '|' || {% endif -%}
        {% endfor %} as _key
    from {{ source('raw', entity) }}
    {% if has_updated_at -%}
        where updated_at is null or updated_at < {{ as_of_end() }}
    {%- endif %}
{%- endmacro %}

{# The rows of a raw entity that count. #}
{% macro newest(entity) %}
    {%- set key, has_updated_at = entities()[entity] %}
    with incoming as (

        select * from {{ source('raw', entity) }}
        {% if has_updated_at -%}
            where updated_at is null or updated_at < {{ as_of_end() }}
        {%- endif %}

    ),

    losing as (

        select file, line
        from {{ ref('stg_row_versions') }}
        where entity = '{{ entity }}'

    ),

    final as (

        select incoming.*
        from incoming
        left join losing on incoming._file = losing.file and incoming._line = losing.line
        where losing.file is null

    )

    select * from final
{% endmacro %}
