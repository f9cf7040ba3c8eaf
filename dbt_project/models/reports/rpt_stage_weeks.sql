with stage_weeks as (

    select * from {{ ref('fct_stage_weeks') }}

),

stages as (

    select * from {{ ref('dim_stages') }}

),

weeks as (

    select distinct week_start from stage_weeks

),

closed_weeks as (

    select
        week_start,
        cast(week_start + interval '7' day as date) as week_end,
        -- A week belongs to the year of its Thursday (ISO 8601).
        cast(week_start + interval '3' day as date) as week_thursday
    from weeks
    where
        week_start + interval '{{ 7 + var("policy").quarter_close_days | int }}' day
        < {{ as_of_end() }}

),

each_and_all as (

    select
        role_family,
        stage,
        week_start,
        n_applications,
        n_arrived,
        n_left,
        wip_end,
        wip_days
    from stage_weeks
    union all
    select
        'all' as role_family,
        stage,
        week_start,
        n_applications,
        n_arrived,
        n_left,
        wip_end,
        wip_days
    from stage_weeks

),

-- Whole milliseconds add up to the same sum in any order.
pooled as (

    select
        role_family,
        stage,
        week_start,
        cast(sum(n_applications) as bigint) as n,
        cast(sum(n_arrived) as bigint) as arrived,
        cast(sum(n_left) as bigint) as throughput,
        cast(sum(wip_end) as bigint) as wip_end,
        cast(sum(cast(round(wip_days * 86400000) as bigint)) as double) / 86400000
            as wip_days
    from each_and_all
    group by role_family, stage, week_start

),

first_seen as (

    select
        role_family,
        stage,
        min(week_start) as first_week
    from pooled
    group by role_family, stage

),

-- A week in which nobody was in the stage is a zero of the series, not a gap in it.
counted as (

    select
        first_seen.role_family,
        first_seen.stage,
        closed_weeks.week_start,
        closed_weeks.week_end,
        closed_weeks.week_thursday,
        coalesce(pooled.n, 0) as n,
        coalesce(pooled.arrived, 0) as arrived,
        coalesce(pooled.throughput, 0) as throughput,
        coalesce(pooled.wip_end, 0) as wip_end,
        coalesce(pooled.wip_days, 0.0) as wip_days
    from first_seen
    inner join closed_weeks on first_seen.first_week <= closed_weeks.week_start
    left join pooled
        on
            first_seen.role_family = pooled.role_family
            and first_seen.stage = pooled.stage
            and closed_weeks.week_start = pooled.week_start

),

judged as (

    select
        *,
        n < {{ var('policy').show_minimum_entered }} as has_few_applications,
        arrived + throughput < 5 as has_few_moves,
        cast(arrived - throughput as double) as growth,
        -- Half the interval of a difference of two Poisson counts.
        1.96 * sqrt(cast(arrived + throughput as double)) as half_width
    from counted

),

final as (

    select
        cast(extract(year from judged.week_thursday) as string)
        || '-W'
        || lpad(cast(extract(week from judged.week_start) as string), 2, '0')
            as window_id,
        'week' as window_kind,
        'week of ' || cast(judged.week_start as string) as window_label,
        judged.week_start as window_start,
        judged.week_end as window_end,
        true as is_closed,
        judged.role_family,
        judged.stage,
        stages.stage_order,
        stages.stage_group,
        stages.waits_on,
        judged.n,
        case
            when not judged.has_few_applications and not judged.has_few_moves
                then judged.growth
        end as estimate,
        case
            when not judged.has_few_applications and not judged.has_few_moves
                then judged.growth - judged.half_width
        end as ci_low,
        case
            when not judged.has_few_applications and not judged.has_few_moves
                then judged.growth + judged.half_width
        end as ci_high,
        case
            when judged.has_few_applications or judged.has_few_moves then 'none'
            else 'Poisson, normal'
        end as ci_method,
        case
            when judged.has_few_applications or judged.has_few_moves
                then 'insufficient'
            when abs(judged.growth) <= judged.half_width then 'inconclusive'
            else 'ok'
        end as status,
        case
            when judged.has_few_applications
                then 'fewer than {{ var("policy").show_minimum_entered }} applications'
            when judged.has_few_moves then 'fewer than 5 arrivals and departures'
            when abs(judged.growth) <= judged.half_width
                then 'the interval includes zero'
            else ''
        end as status_reason,
        judged.wip_days / 7 as avg_wip,
        judged.arrived,
        judged.throughput,
        judged.wip_end,
        case
            when not judged.has_few_applications and not judged.has_few_moves
                then judged.wip_days / nullif(judged.arrived, 0)
        end as little_w_days
    from judged
    left join stages
        on
            judged.role_family = stages.role_family
            and judged.stage = stages.stage

)

select * from final
