select
    recommendation_id,
    rule_id,
    quarter,
    target,
    target_kind,
    pooled(role_family, 'all roles') as role,
    coalesce(interviewer_name, '–') as interviewer,
    action as action_key,
    readable(action) as action,
    action_text,
    readable(evidence_level) as evidence,
    readable(statistic) as statistic,
    estimate,
    as_count(n, status) as n,
    as_decimal(estimate, status) as value,
    decimal_range(ci_low, ci_high) as interval,
    coalesce(printf('%.2f', cast(threshold as double)), '–') as threshold,
    p_value(q) as q,
    coalesce(expected_effect, '–') as expected_effect,
    coalesce(caveats, '–') as caveats,
    coalesce(cast(valid_until as varchar), '–') as valid_until,
    coalesce(owner, '–') as owner,
    coalesce(decision, '–') as decision,
    coalesce(previous_outcome, '–') as previous_outcome,
    coalesce(is_action, false) as is_action,
    status_reason,
    row_number() over (
        order by not coalesce(is_action, false), q nulls last, rule_id, recommendation_id
    ) as place
from rubric_recommendations
where recommendation_id <> 'none'
order by place
