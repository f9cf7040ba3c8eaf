-- No generic test knows the date of the run: whatever lies after as_of would make a
-- look back differ from what readers saw then.
{% set dated = {
    'fct_applications': ['applied_at', 'terminal_at', 'first_offer_at', 'offer_accepted_at', 'hired_at'],
    'fct_stage_visits': ['entered_at', 'exited_at'],
    'fct_stage_outcomes': ['first_entered_at', 'outcome_at'],
    'fct_offers': ['extended_at', 'resolved_at'],
    'fct_openings': ['opened_at', 'filled_at', 'closed_at'],
    'fct_scorecards': ['submitted_at'],
    'fct_hires': ['hired_on', 'left_on'],
    'fct_performance_reviews': ['reviewed_on'],
} %}
with dates as (

    {% for model, columns in dated.items() %}
        {% set last_model = loop.last %}
        {% for column in columns %}
            select
                '{{ model }}' as model_name,
                '{{ column }}' as column_name,
                max(cast({{ column }} as timestamp)) as latest_at
            from {{ ref(model) }}
            {% if not (loop.last and last_model) %}union all{% endif %}
        {% endfor %}
    {% endfor %}

),

final as (

    select
        model_name,
        column_name
    from dates
    where latest_at >= {{ as_of_end() }}

)

select * from final
