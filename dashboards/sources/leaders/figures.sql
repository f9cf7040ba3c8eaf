select
    'Applications' as label,
    as_count(n_applications, 'insufficient') as value,
    'received in all' as note,
    1 as place
from generation
union all
select
    'Still open', as_count(n_open, 'insufficient'), 'not decided at the data''s end', 2
from generation
union all
select 'Hired', as_count(n_hired, 'insufficient'), 'in all', 3
from generation
union all
(
    select
        'Offer acceptance',
        as_percent(estimate, status),
        case
            when estimate is null then status_reason
            else
                percent_range(ci_low, ci_high) || ', n ' || as_count(n, status)
                || '; ' || window_label
        end,
        4
    from offer_acceptance
    where
        role_family = 'all' and source = 'all' and window_kind = 'year'
        or status_reason <> '' and window_start is null
    order by window_start desc nulls last
    limit 1
)
order by place
