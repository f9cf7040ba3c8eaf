-- Seats on past interviews beside the scorecards that were due for them.
with interviews as (

    select * from {{ ref('stg_interviews') }}

),

panel as (

    select * from {{ ref('stg_interview_panel') }}

),

scorecards as (

    select * from {{ ref('stg_scorecards') }}

),

submitted as (

    select
        scorecard_id,
        application_id,
        interviewer_id,
        round,
        interview_id,
        submitted_at
    from scorecards
    where
        not coalesce(is_draft, false)
        and submitted_at < {{ as_of_end() }}

),

seats as (

    select
        interviews.interview_id,
        panel.interviewer_id,
        interviews.application_id,
        interviews.round,
        interviews.scheduled_at,
        {{ days_between('interviews.scheduled_at', as_of_end()) }} as days_ago
    from interviews
    inner join panel on interviews.interview_id = panel.interview_id
    where
        interviews.scheduled_at < {{ as_of_end() }}
        and coalesce(panel.attended, true)
        and coalesce(panel.panel_role, 'panel') not in ('shadow', 'reverse_shadow')
        and coalesce(lower(interviews.status), '') not in (
            'cancelled', 'canceled', 'skipped', 'no_show', 'to_be_scheduled'
        )

),

-- A card that names its interview belongs to it; one that names none, to the seat of
-- the same person in the same round, the last one before it.
named as (

    select
        seats.interview_id,
        seats.interviewer_id,
        submitted.scorecard_id,
        submitted.submitted_at
    from seats
    inner join submitted
        on
            seats.interview_id = submitted.interview_id
            and seats.interviewer_id = submitted.interviewer_id

),

unnamed as (

    select
        seats.interview_id,
        seats.interviewer_id,
        submitted.scorecard_id,
        submitted.submitted_at,
        row_number() over (
            partition by submitted.scorecard_id
            order by seats.scheduled_at desc, seats.interview_id asc
        ) as place
    from seats
    inner join submitted
        on
            seats.application_id = submitted.application_id
            and seats.interviewer_id = submitted.interviewer_id
            and seats.round = submitted.round
            and seats.scheduled_at <= submitted.submitted_at
    where submitted.interview_id is null

),

matched as (

    select
        interview_id,
        interviewer_id,
        scorecard_id,
        submitted_at
    from named
    union all
    select
        interview_id,
        interviewer_id,
        scorecard_id,
        submitted_at
    from unnamed
    where place = 1

),

first_cards as (

    select
        interview_id,
        interviewer_id,
        min(submitted_at) as submitted_at
    from matched
    group by interview_id, interviewer_id

),

due as (

    select
        seats.interview_id,
        seats.interviewer_id,
        cast(null as {{ dbt.type_string() }}) as scorecard_id,
        {{ days_between('seats.scheduled_at', 'first_cards.submitted_at') }}
            as days_to_card,
        case
            when first_cards.submitted_at is not null then 'matched'
            when seats.days_ago > {{ var('policy').scorecard_missing_days }}
                then 'missing'
            else 'awaited'
        end as match_state
    from seats
    left join first_cards
        on
            seats.interview_id = first_cards.interview_id
            and seats.interviewer_id = first_cards.interviewer_id

),

without_interview as (

    select
        cast(null as {{ dbt.type_string() }}) as interview_id,
        submitted.interviewer_id,
        submitted.scorecard_id,
        cast(null as double) as days_to_card,
        'without_interview' as match_state
    from submitted
    left join matched on submitted.scorecard_id = matched.scorecard_id
    where matched.scorecard_id is null

),

combined as (

    select
        interview_id,
        interviewer_id,
        scorecard_id,
        days_to_card,
        match_state
    from due
    union all
    select
        interview_id,
        interviewer_id,
        scorecard_id,
        days_to_card,
        match_state
    from without_interview

),

final as (

    select
        interview_id,
        interviewer_id,
        scorecard_id,
        days_to_card,
        match_state,
        coalesce(scorecard_id, interview_id || '|' || interviewer_id) as match_id
    from combined

)

select * from final
