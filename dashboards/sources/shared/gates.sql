select
    gate,
    suite,
    replace(description, '`', '')
    || case when success or reason = '' then '' else ' ' || reason end as description,
    severity,
    case when success then 'passed' else 'failed' end as result,
    as_measure(observed) as observed,
    case
        when threshold_low is null and threshold_high is null then '–'
        when threshold_low is null then 'at most ' || as_measure(threshold_high)
        when threshold_high is null then 'at least ' || as_measure(threshold_low)
        when threshold_low = threshold_high then as_measure(threshold_low)
        else as_measure(threshold_low) || ' to ' || as_measure(threshold_high)
    end as allowed,
    array_position(
        ['raw', 'marts', 'reports', 'recommendations'], gate
    ) as gate_order,
    success
from gates
order by success, gate_order, suite, description
