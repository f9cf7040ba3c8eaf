select
    role_family || ' × ' || window_id as slice,
    quotable(role_family || ' × ' || window_id) as slice_key,
    pooled(role_family, 'all roles') || ' · ' || pooled(window_label, '') as label,
    row_number() over (
        order by role_family <> 'all', window_place(window_kind), window_start desc, role_family
    ) as place
from (
    select distinct role_family, window_id, window_kind, window_label, window_start
    from rater_reliability
)
order by place
