select
    measure,
    quotable(role_family || ' × ' || source) as slice_key,
    pooled(role_family, 'all roles') || ' · ' || pooled(source, 'all channels') as label,
    row_number() over (
        partition by measure
        order by source <> 'all', role_family <> 'all', role_family, source
    ) as place
from (select distinct measure, role_family, source from time_to_hire)
order by measure, place
