select
    quotable(role_family || ' × ' || window_id || ' × ' || outcome) as slice_key,
    pooled(role_family, 'all roles') || ' · ' || window_label || ' · '
    || readable(outcome) as label,
    row_number() over (
        order by
            role_family <> 'all', window_kind <> 'all', window_place(window_kind),
            window_start desc, outcome,
            role_family
    ) as place
from (
    select distinct
        role_family, window_id, window_kind, window_label, window_start, outcome
    from predictive_validity
)
order by place
