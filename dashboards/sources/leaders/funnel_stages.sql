select distinct readable(stage) as stage, stage_order
from funnel
order by stage_order
