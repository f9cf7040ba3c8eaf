-- A row per gate and result, so that nothing is counted in the browser.
select
    gate,
    case when success then 'passed' else 'warning' end as result,
    count(*) as checks,
    array_position(['raw', 'marts', 'reports', 'recommendations'], gate) as gate_order
from gates
group by gate, success
order by gate_order, result
