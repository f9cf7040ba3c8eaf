with offers as (

    select * from {{ ref('stg_offers') }}

),

applications as (

    select * from {{ ref('int_applications') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by offer_id
            order by
                try_cast(version as double) desc nulls last,
                updated_at desc nulls last,
                extended_at desc nulls last
        ) as version_rank
    from offers
    where
        extended_at < {{ as_of_end() }}
        and not coalesce(resolved_at < extended_at, false)

),

final as (

    select
        ranked.offer_id,
        applications.application_id,
        applications.role_family,
        applications.source,
        ranked.extended_at,
        case
            when ranked.resolved_at >= {{ as_of_end() }} then 'pending'
            else ranked.status
        end as offer_status,
        case when ranked.resolved_at < {{ as_of_end() }} then ranked.resolved_at end
            as resolved_at,
        ranked.decline_reason,
        case
            when ranked.resolved_at < {{ as_of_end() }}
                then {{ days_between('ranked.extended_at', 'ranked.resolved_at') }}
        end as days_to_resolve
    from ranked
    inner join applications
        on
            ranked.application_id = applications.delivered_application_id
            and {{ in_episode('ranked.extended_at') }}
    where ranked.version_rank = 1

)

select * from final
