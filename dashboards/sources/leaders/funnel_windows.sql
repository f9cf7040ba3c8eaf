select
    role_family || ' × ' || source as slice,
    basis,
    window_id,
    pooled(window_label, '') || case when not is_closed then ' (still open)' else '' end as label,
    row_number() over (
        partition by role_family, source, basis
        order by window_place(window_kind), window_start desc
    ) as place
from (
    select distinct
        role_family, source, basis, window_id, window_kind, window_label, window_start,
        is_closed
    from funnel
    where window_kind not in ('month', 'rolling')
)
order by slice, basis, place
