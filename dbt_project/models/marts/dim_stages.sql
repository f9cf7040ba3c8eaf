with stages as (

    select * from {{ ref('int_stages') }}

),

-- A pooled row says what all role families agree on.
pooled as (

    select
        'all' as role_family,
        stage,
        min(stage_order) as stage_order,
        case when min(stage_group) = max(stage_group) then min(stage_group) end
            as stage_group,
        case when min(next_stage) = max(next_stage) then min(next_stage) end
            as next_stage,
        case when min(waits_on) = max(waits_on) then min(waits_on) else 'either' end
            as waits_on,
        case when min(sla_days) = max(sla_days) then min(sla_days) end as sla_days
    from stages
    group by stage

),

final as (

    select
        role_family,
        stage,
        cast(stage_order as bigint) as stage_order,
        stage_group,
        next_stage,
        waits_on,
        sla_days
    from stages
    union all
    select
        role_family,
        stage,
        cast(stage_order as bigint) as stage_order,
        stage_group,
        next_stage,
        waits_on,
        sla_days
    from pooled

)

select * from final
