select
    section,
    entity,
    source,
    readable(measure) as measure,
    case when estimate is null then word(status) else as_measure(estimate) end as value,
    coalesce(format('{:,}', n), '–') as n,
    status_reason as note
from data_quality
order by section, entity, source, measure
