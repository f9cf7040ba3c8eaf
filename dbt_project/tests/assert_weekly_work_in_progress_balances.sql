-- No generic test adds up columns, or compares a week with the next: what was there
-- and what came is what left and what stayed, and what stayed is there next week.
with weeks as (

    select * from {{ ref('fct_stage_weeks') }}

),

last_week as (

    select max(week_start) as last_week_start from weeks

),

followed as (

    select
        this_week.role_family,
        this_week.stage,
        this_week.week_start,
        this_week.wip_end,
        this_week.wip_start + this_week.n_arrived as n_under_way,
        this_week.n_left + this_week.wip_end as n_accounted_for,
        this_week.week_start = last_week.last_week_start as is_last_week,
        coalesce(next_week.wip_start, 0) as next_wip_start
    from weeks as this_week
    cross join last_week
    left join weeks as next_week
        on
            this_week.role_family = next_week.role_family
            and this_week.stage = next_week.stage
            and this_week.week_start = next_week.week_start - interval '7' day

),

final as (

    select
        role_family,
        stage,
        week_start
    from followed
    where
        n_under_way <> n_accounted_for
        or (not is_last_week and wip_end <> next_wip_start)

)

select * from final
