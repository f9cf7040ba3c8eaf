with applications as (

    select * from {{ ref('int_applications') }}

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
        {{ days_between('applied_at', 'coalesce(offer_accepted_at, hired_at)') }}
            as days_to_hire
    from applications

)

select * from final
