with visits as (

    select * from {{ ref('int_stage_visits') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

bounds as (

    select
        {{ dbt.date_trunc('week', 'min(window_start)') }} as first_week,
        cast({{ as_of_end() }} as timestamp) as as_of_end
    from windows

),

numbers as (

    {{ dbt.generate_series(upper_bound=1100) }}

),

weeks as (

    select
        cast(bounds.first_week as timestamp)
        + interval '7' day * (cast(numbers.generated_number as integer) - 1)
            as week_start_at,
        cast(bounds.first_week as timestamp)
        + interval '7' day * cast(numbers.generated_number as integer) as week_end_at
    from bounds
    cross join numbers
    where
        cast(bounds.first_week as timestamp)
        + interval '7' day * cast(numbers.generated_number as integer)
        <= bounds.as_of_end

),

countable as (

    select
        application_id,
        role_family,
        stage,
        entered_at,
        exited_at
    from visits
    where entered_at is not null and stage_group <> 'hired'

),

final as (

    select
        countable.role_family,
        countable.stage,
        cast(weeks.week_start_at as date) as week_start,
        cast(count(distinct countable.application_id) as bigint) as n_applications,
        cast(
            count(*) filter (where countable.entered_at >= weeks.week_start_at)
            as bigint
        ) as n_arrived,
        cast(
            count(*) filter (where countable.exited_at < weeks.week_end_at) as bigint
        ) as n_left,
        cast(
            count(*) filter (where countable.entered_at < weeks.week_start_at)
            as bigint
        ) as wip_start,
        cast(
            count(*) filter (
                where
                countable.exited_at is null
                or countable.exited_at >= weeks.week_end_at
            ) as bigint
        ) as wip_end,
        -- Whole milliseconds add up to the same sum in any order.
        cast(
            sum(
                cast(
                    round(
                        86400000 * {{ days_between(
                            'greatest(countable.entered_at, weeks.week_start_at)',
                            'least(coalesce(countable.exited_at, weeks.week_end_at),'
                            ~ ' weeks.week_end_at)'
                        ) }}
                    ) as bigint
                )
            ) as double
        ) / 86400000 as wip_days
    from weeks
    inner join countable
        on
            weeks.week_end_at > countable.entered_at
            and (
                countable.exited_at is null
                or weeks.week_start_at <= countable.exited_at
            )
    group by countable.role_family, countable.stage, weeks.week_start_at

)

select * from final
