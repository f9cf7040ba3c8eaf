select
    quotable(role_family) as role_key,
    pooled(role_family, 'all roles') as label,
    row_number() over (order by role_family <> 'all', role_family) as place
from (select distinct role_family from bottlenecks)
order by place
