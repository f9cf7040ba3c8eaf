select
    role_family,
    window_id,
    pooled(window_label, '') || case when not is_closed then ' (still open)' else '' end as label,
    row_number() over (
        partition by role_family order by window_place(window_kind), window_start desc
    ) as place
from (
    select distinct
        role_family, window_id, window_kind, window_label, window_start, is_closed
    from bottlenecks
)
order by role_family, place
