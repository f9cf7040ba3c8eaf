with estimates as (

    select * from {{ source('statistics', 'bottlenecks') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

stages as (

    select * from {{ ref('dim_stages') }}

),

final as (

    select
        windows.window_id,
        windows.window_kind,
        windows.window_label,
        windows.window_start,
        windows.window_end,
        windows.is_closed,
        estimates.role_family,
        estimates.stage,
        stages.stage_order,
        stages.stage_group,
        stages.waits_on,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status = 'inconclusive'
                then 'the interval includes zero days'
            when estimates.status <> 'insufficient' then ''
            when estimates.n < {{ var('policy').show_minimum_entered }}
                then 'fewer than {{ var("policy").show_minimum_entered }} applications'
            when estimates.reference_days is null
                then 'no SLA is declared and the year before has too few applications'
            else 'more than half are still in the stage'
        end as status_reason,
        estimates.avg_wip,
        estimates.arrival_rate,
        estimates.throughput,
        estimates.little_w_days,
        estimates.backlog_growth,
        estimates.backlog_growth_ci_low,
        estimates.backlog_growth_ci_high,
        estimates.backlog_growth_p,
        estimates.backlog_growth_q,
        estimates.ageing_over_p85,
        estimates.share_of_cycle_days,
        estimates.km_median_days,
        estimates.km_median_days_ci_low,
        estimates.km_median_days_ci_high,
        estimates.p85_days,
        estimates.reference_days,
        estimates.reference_kind,
        estimates.p,
        estimates.interviewer_hours_demand,
        estimates.interviewer_hours_capacity,
        estimates.interviewer_hours_status,
        estimates.bottleneck_rank,
        estimates.is_bottleneck
    from estimates
    inner join windows on estimates.window_id = windows.window_id
    left join stages
        on
            estimates.role_family = stages.role_family
            and estimates.stage = stages.stage

)

select * from final
