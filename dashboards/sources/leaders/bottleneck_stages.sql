-- First the stages that were found to be bottlenecks, then all in their order.
select
    quotable(stage) as stage_key,
    readable(stage) as stage,
    row_number() over (order by not was_found, stage_order) as place
from (
    select
        stage,
        stage_order,
        coalesce(bool_or(is_bottleneck and window_kind = 'year'), false) as was_found
    from bottlenecks
    group by stage, stage_order
)
order by place
