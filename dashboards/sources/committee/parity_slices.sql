-- The attribute of the headline comes first.
with lowest as (

    select attribute, min(estimate) as ratio
    from adverse_impact
    where
        window_kind = 'year' and role_family = 'all' and stage_order = 0
        and not is_reference
    group by attribute

),

slices as (

    select distinct
        role_family, window_id, window_kind, window_label, window_start, attribute
    from adverse_impact

)

select
    quotable(role_family || ' × ' || window_id || ' × ' || attribute) as slice_key,
    readable(attribute) || ' · ' || pooled(role_family, 'all roles') || ' · '
    || window_label as label,
    row_number() over (
        order by
            role_family <> 'all', window_kind <> 'year', window_start desc,
            lowest.ratio nulls last, attribute, role_family
    ) as place
from slices
left join lowest using (attribute)
order by place
