select
    section,
    entity,
    source,
    readable(measure) as measure,
    case
        when estimate is null then word(status)
        when measure like '%\_rate' escape '\' then as_percent(estimate, status)
        when measure = 'age_days' then as_count(estimate, status) || ' days'
        else as_measure(estimate)
    end as value,
    coalesce(format('{:,}', n), '–') as n,
    status_reason as note
from data_quality
order by section, entity, source, measure
