-- First the stage of the headline, then all in their order.
with last_year as (

    select stage
    from funnel
    where
        basis = 'cohort' and window_kind = 'year' and role_family = 'all'
        and source = 'all' and estimate is not null
    order by window_start desc, estimate
    limit 1

)

select
    quotable(stage) as stage_key,
    readable(stage) as stage,
    row_number() over (
        order by stage not in (select stage from last_year), stage_order
    ) as place
from (select distinct stage, stage_order from funnel)
order by place
