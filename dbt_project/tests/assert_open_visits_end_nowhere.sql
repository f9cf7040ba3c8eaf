-- No generic test relates three columns and the date of the run: a visit is open
-- exactly where it has no exit, and its days run to the end of as_of, not to a clock.
with visits as (

    select * from {{ ref('fct_stage_visits') }}

),

final as (

    select
        application_id,
        stage,
        visit_number
    from visits
    where
        is_censored <> (exited_at is null)
        or (stage_group = 'hired' and not is_censored)
        or visit_days < 0
        or (
            is_censored
            and entered_at is not null
            and abs(
                visit_days - {{ days_between('entered_at', as_of_end()) }}
            ) > 0.000001
        )

)

select * from final
