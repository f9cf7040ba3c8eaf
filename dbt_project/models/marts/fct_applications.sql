with applications as (

    select * from {{ ref('int_applications') }}

),

interviews as (

    select * from {{ ref('stg_interviews') }}

),

first_interviews as (

    select
        applications.application_id,
        min(interviews.scheduled_at) as first_interview_at
    from interviews
    inner join applications
        on
            interviews.application_id = applications.delivered_application_id
            and {{ in_episode('interviews.scheduled_at') }}
    where
        lower(coalesce(interviews.status, '')) not in (
            'cancelled', 'canceled', 'skipped', 'no_show', 'to_be_scheduled'
        )
    group by applications.application_id

),

dated as (

    select
        applications.*,
        first_interviews.first_interview_at,
        coalesce(applications.offer_accepted_at, applications.hired_at) as won_at
    from applications
    left join first_interviews
        on applications.application_id = first_interviews.application_id

),

final as (

    select
        application_id,
        candidate_id,
        job_id,
        role_family,
        department,
        level,
        source,
        applied_at,
        candidate_id || '|' || role_family || '|'
        || cast(episode_number as {{ dbt.type_string() }}) as episode_id,
        cast(episode_number as bigint) as episode_number,
        terminal_kind,
        terminal_at,
        is_open,
        first_offer_at,
        offer_accepted_at,
        hired_at,
        -- Who was entered after the hire counts, but has no time to hire.
        case
            when won_at >= applied_at
                then {{ days_between('applied_at', 'won_at') }}
        end as days_to_hire,
        case
            when won_at < applied_at then 'hire_before_application'
            when first_offer_at < applied_at then 'offer_before_application'
            when first_offer_at < first_interview_at then 'offer_before_interview'
            when is_hired_after_ending then 'hire_after_ending'
        end as order_fault
    from dated

)

select * from final
