with applications as (

    select * from {{ ref('stg_applications') }}

),

events as (

    select * from {{ ref('stg_application_events') }}

),

jobs as (

    select * from {{ ref('stg_jobs') }}

),

offers as (

    select * from {{ ref('stg_offers') }}

),

read_applications as (

    select * from applications
    where applied_at < {{ as_of_end() }}

),

events_until_as_of as (

    select
        application_id,
        occurred_at,
        kind,
        reason_group
    from events
    where occurred_at < {{ as_of_end() }} and kind <> 'transferred'

),

events_with_next as (

    select
        *,
        lead(kind) over (
            partition by application_id order by occurred_at asc, kind asc
        ) as next_kind,
        lead(occurred_at) over (
            partition by application_id order by occurred_at asc, kind asc
        ) as next_at,
        min(case when kind = 'hired' then occurred_at end) over (
            partition by application_id
            order by occurred_at asc, kind asc
            rows between 1 following and unbounded following
        ) as next_hired_at,
        min(
            case when kind in ('unrejected', 'reopened', 'unhired') then occurred_at end
        ) over (
            partition by application_id
            order by occurred_at asc, kind asc
            rows between 1 following and unbounded following
        ) as next_reversal_at
    from events_until_as_of

),

-- Who is hired was not turned away for good, whether or not that was undone.
overruled_endings as (

    select
        application_id,
        occurred_at,
        kind,
        next_hired_at
    from events_with_next
    where
        kind in ('rejected', 'withdrawn')
        and next_hired_at is not null
        and not coalesce(next_reversal_at <= next_hired_at, false)

),

-- A reversal later than the policy's days starts an episode of its own.
reopenings as (

    select
        application_id,
        next_at as reopened_at,
        row_number() over (
            partition by application_id order by next_at asc
        ) as reopening_number
    from events_with_next
    where
        kind in ('rejected', 'withdrawn', 'hired')
        and next_kind in ('unrejected', 'reopened', 'unhired')
        and next_at >= occurred_at
        + interval '{{ var("policy").reversal_days }}' day

),

starts as (

    select
        application_id,
        applied_at as started_at,
        0 as reopening_number
    from read_applications
    union all
    select
        reopenings.application_id,
        reopenings.reopened_at as started_at,
        reopenings.reopening_number
    from reopenings
    inner join read_applications
        on reopenings.application_id = read_applications.application_id

),

episodes as (

    select
        application_id,
        started_at,
        reopening_number,
        lead(started_at) over (
            partition by application_id order by reopening_number asc
        ) as next_reopened_at
    from starts

),

-- A reversal within the policy's days continues the episode: the ending never was.
lasting_endings as (

    select
        events_with_next.application_id,
        events_with_next.occurred_at,
        events_with_next.kind,
        events_with_next.reason_group
    from events_with_next
    left join overruled_endings
        on
            events_with_next.application_id = overruled_endings.application_id
            and events_with_next.occurred_at = overruled_endings.occurred_at
            and events_with_next.kind = overruled_endings.kind
    where
        events_with_next.kind in ('rejected', 'withdrawn', 'hired')
        and not (
            coalesce(events_with_next.next_kind, '')
            in ('unrejected', 'reopened', 'unhired')
            and events_with_next.next_at < events_with_next.occurred_at
            + interval '{{ var("policy").reversal_days }}' day
        )
        and overruled_endings.application_id is null

),

hires_after_ending as (

    select distinct
        application_id,
        next_hired_at as hired_at
    from overruled_endings

),

numbered_endings as (

    select
        lasting_endings.*,
        episodes.reopening_number,
        row_number() over (
            partition by episodes.application_id, episodes.reopening_number
            order by lasting_endings.occurred_at asc, lasting_endings.kind asc
        ) as ending_number
    from lasting_endings
    inner join episodes
        on
            lasting_endings.application_id = episodes.application_id
            and {{ in_episode(
                'lasting_endings.occurred_at', 'episodes', 'started_at'
            ) }}

),

first_endings as (

    select * from numbered_endings
    where ending_number = 1

),

applications_with_events as (

    select distinct application_id from events_until_as_of

),

offer_dates as (

    select
        episodes.application_id,
        episodes.reopening_number,
        min(offers.extended_at) as first_offer_at,
        min(
            case
                when
                    offers.status = 'accepted'
                    and offers.resolved_at < {{ as_of_end() }}
                    then offers.resolved_at
            end
        ) as offer_accepted_at
    from offers
    inner join episodes
        on
            offers.application_id = episodes.application_id
            and {{ in_episode('offers.extended_at', 'episodes', 'started_at') }}
    where
        offers.extended_at < {{ as_of_end() }}
        and not coalesce(offers.resolved_at < offers.extended_at, false)
    group by episodes.application_id, episodes.reopening_number

),

ended as (

    select
        read_applications.*,
        episodes.started_at,
        episodes.reopening_number,
        episodes.next_reopened_at,
        case
            when first_endings.kind is not null then first_endings.kind
            when applications_with_events.application_id is not null then null
            when read_applications.status = 'active' then null
            when
                coalesce(read_applications.closed_at, read_applications.updated_at)
                >= {{ as_of_end() }}
                then null
            else read_applications.status
        end as ending,
        coalesce(
            first_endings.occurred_at,
            read_applications.closed_at,
            read_applications.updated_at
        ) as ended_at,
        hires_after_ending.application_id is not null as is_hired_after_ending,
        lower(
            coalesce(first_endings.reason_group, read_applications.close_reason, '')
        ) as ending_reason
    from read_applications
    inner join episodes
        on read_applications.application_id = episodes.application_id
    left join first_endings
        on
            episodes.application_id = first_endings.application_id
            and episodes.reopening_number = first_endings.reopening_number
    left join hires_after_ending
        on
            first_endings.application_id = hires_after_ending.application_id
            and first_endings.occurred_at = hires_after_ending.hired_at
            and first_endings.kind = 'hired'
    left join applications_with_events
        on read_applications.application_id = applications_with_events.application_id

),

in_families as (

    select
        ended.*,
        jobs.department,
        jobs.level,
        coalesce(
            jobs.role_family,
            {% for source, family in var('role_families').items() -%}
                case when ended._source = '{{ source }}' then '{{ family }}' end,
            {% endfor -%}
            'unspecified'
        ) as role_family
    from ended
    left join jobs on ended.job_id = jobs.job_id

),

final as (

    select
        in_families.application_id as delivered_application_id,
        in_families.candidate_id,
        in_families.job_id,
        in_families.role_family,
        in_families.department,
        in_families.level,
        in_families.next_reopened_at,
        in_families.is_hired_after_ending,
        in_families.started_at as applied_at,
        in_families.application_id
        || case
            when in_families.reopening_number = 0 then ''
            else
                '~'
                || cast(in_families.reopening_number + 1 as {{ dbt.type_string() }})
        end as application_id,
        cast(in_families.reopening_number as bigint) as reopening_number,
        coalesce(in_families.source, 'unspecified') as source,
        case
            when
                in_families.ending = 'rejected'
                and in_families.ending_reason in (
                    {% for reason in var('closed_no_decision_reasons') -%}
                        '{{ reason }}'{% if not loop.last %}, {% endif %}
                    {%- endfor %}
                )
                then 'closed_no_decision'
            else in_families.ending
        end as terminal_kind,
        -- An ending before the application is a clock of another system.
        case
            when in_families.ending is not null
                then greatest(in_families.ended_at, in_families.started_at)
        end as terminal_at,
        in_families.ending is null as is_open,
        offer_dates.first_offer_at,
        offer_dates.offer_accepted_at,
        case when in_families.ending = 'hired' then in_families.ended_at end
            as hired_at,
        row_number() over (
            partition by
                in_families.candidate_id,
                in_families.role_family
            order by in_families.started_at asc, in_families.application_id asc
        ) as episode_number
    from in_families
    left join offer_dates
        on
            in_families.application_id = offer_dates.application_id
            and in_families.reopening_number = offer_dates.reopening_number

)

select * from final
