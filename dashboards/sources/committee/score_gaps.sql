select
    role_family || ' × ' || window_id || ' × ' || attribute as slice,
    readable(round) as round,
    readable(competency) as competency,
    readable(group_value) as group_value,
    readable(reference_group) as reference_group,
    readable(competency) || ' · ' || readable(group_value) as competency_and_group,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    coalesce(dif_q < 0.05 and dif_class in ('C', 'CC'), false) as is_review,
    as_count(n, status) as n,
    as_count(n_reference, status) as n_reference,
    decimal_with_range(estimate, ci_low, ci_high, status) as gap,
    p_value(q) as q,
    as_decimal(expected_impact_ratio, status) as expected_ratio,
    as_decimal(dif_smd, status) as matched_gap,
    p_value(dif_q) as matched_q,
    coalesce(dif_class, '–') as size_class
from score_gaps
where group_value <> 'none'
order by slice, round, competency, group_value
