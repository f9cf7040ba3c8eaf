-- Rows that ask for more data are a kind of their own: they propose no change.
select
    'all' as rule_key,
    'all kinds' as label,
    0 as place
union all
select
    quotable(action),
    readable(action),
    row_number() over (order by action)
from (select distinct action from rubric_recommendations where recommendation_id <> 'none')
order by place
