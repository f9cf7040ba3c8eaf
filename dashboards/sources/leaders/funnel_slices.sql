select
    role_family || ' × ' || source as slice,
    quotable(role_family || ' × ' || source) as slice_key,
    role_family || ' × all' as all_channels,
    pooled(role_family, 'all roles') as role,
    pooled(role_family, 'all roles') || ' · ' || pooled(source, 'all channels') as label,
    row_number() over (
        order by source <> 'all', role_family <> 'all', role_family, source
    ) as place
from (select distinct role_family, source from funnel)
order by place
