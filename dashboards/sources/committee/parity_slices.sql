select
    quotable(role_family || ' × ' || window_id || ' × ' || attribute) as slice_key,
    readable(attribute) || ' · ' || pooled(role_family, 'all roles') || ' · '
    || window_label as label,
    row_number() over (
        order by
            role_family <> 'all', window_kind <> 'year', window_start desc, attribute,
            role_family
    ) as place
from (
    select distinct
        role_family, window_id, window_kind, window_label, window_start, attribute
    from adverse_impact
)
order by place
