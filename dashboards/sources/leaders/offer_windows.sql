select
    window_id,
    pooled(window_label, '') || case when not is_closed then ' (still open)' else '' end as label,
    row_number() over (order by window_place(window_kind), window_start desc) as place
from (
    select distinct window_id, window_kind, window_label, window_start, is_closed
    from offer_acceptance
)
order by place
