-- What a rule measured, in the words of the page it was measured on.
with worded as (

    select
        *,
        case action
            when 'clarify_anchors' then 'Clarify the anchors'
            when 'extend_level' then 'Extend the scale'
            when 'recalibrate_interviewer' then 'Calibrate together'
            when 'add_rater' then 'Add a rater'
            when 'bias_review' then 'Review by hand'
            when 'add_capacity' then 'Relieve a bottleneck'
            when 'collect_more' then 'Collect more data'
            else readable(action)
        end as proposal,
        case statistic
            when 'mean_pair_difference' then 'difference of two interviewers ÷ scale'
            when 'modal_share' then 'share of the most used level'
            when 'severity_raw' then 'severity in points'
            when 'severity_shrunk' then 'severity in points'
            when 'g_qk' then 'reliability of the panel'
            when 'bias_review' then 'impact ratio'
            when 'add_capacity' then 'days above the reference'
            when 'n_multi' then 'candidates rated by two or more'
            else readable(statistic)
        end as measure,
        coalesce(
            interviewer_name,
            nullif(
                concat_ws(
                    ' · ',
                    readable(round),
                    readable(nullif(competency, 'all')),
                    readable(stage),
                    readable(attribute) || ': ' || readable(group_value),
                    readable(nullif(role_family, 'all'))
                ),
                ''
            ),
            readable(target)
        ) as about,
        -- Some statistics carry the interval of another one: theirs is not known.
        estimate between ci_low and ci_high as has_interval
    from rubric_recommendations
    where recommendation_id <> 'none'

)

select
    recommendation_id,
    rule_id,
    quarter,
    about as target,
    pooled(role_family, 'all roles') as role,
    proposal as action,
    action_text,
    measure as statistic,
    estimate,
    case when has_interval then ci_low end as ci_low,
    case when has_interval then ci_high end as ci_high,
    threshold as limit_value,
    as_count(n, status) as n,
    as_decimal(estimate, status) as value,
    measure || ' ' || as_decimal(estimate, status)
    || case
        when has_interval then ' · 95 % interval ' || decimal_range(ci_low, ci_high)
        else ''
    end
    || coalesce(printf(' · threshold %.2f', cast(threshold as double)), '')
    || ' · n ' || as_count(n, status) || ' · q ' || p_value(q)
    || ' · ' || coalesce(evidence_level, 'no') || ' evidence · '
    || pooled(role_family, 'all roles') || ', ' || quarter as summary,
    case when has_interval then decimal_range(ci_low, ci_high) else '–' end as interval,
    coalesce(printf('%.2f', cast(threshold as double)), '–') as threshold,
    p_value(q) as q,
    coalesce(expected_effect, '–') as expected_effect,
    coalesce(caveats, '–') as caveats,
    coalesce(cast(valid_until as varchar), '–') as valid_until,
    coalesce(owner, '–') as owner,
    coalesce(decision, '–') as decision,
    coalesce(previous_outcome, 'none recorded') as previous_outcome,
    coalesce(is_action, false) as is_action,
    status_reason,
    row_number() over (
        order by not coalesce(is_action, false), q nulls last, rule_id, recommendation_id
    ) as place
from worded
order by place
