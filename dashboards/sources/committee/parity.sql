select
    role_family || ' × ' || window_id || ' × ' || attribute as slice,
    readable(stage) as stage,
    stage_order,
    stage_order = 0 as is_overall,
    readable(group_value) as group_value,
    readable(stage) || ' · ' || readable(group_value) as stage_and_group,
    coalesce(is_reference, false) as is_reference,
    status,
    case
        when simpson_flag and status = 'inconclusive'
            then 'reversed; inconclusive'
        when simpson_flag then 'reversed'
        else note(status, status_reason)
    end as note,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_count(selected, status) as selected,
    percent_with_range(
        selection_rate, selection_rate_ci_low, selection_rate_ci_high, status
    ) as selection_rate,
    coalesce(readable(reference_group), '–') as reference_group,
    case
        when is_reference then 'reference'
        else decimal_with_range(estimate, ci_low, ci_high, status)
    end as impact_ratio,
    case
        when is_reference then '–'
        else decimal_with_range(mh_rr, mh_rr_ci_low, mh_rr_ci_high, status)
    end as adjusted_ratio,
    p_value(midp) as midp,
    p_value(q) as q,
    p_value(bd_p) as homogeneity_p,
    as_decimal(min_detectable_ratio, status) as detectable,
    case
        when evidence like 'watch%' then 'watch'
            || case when flips_with_one then ', one person turns it' else '' end
        else coalesce(readable(evidence), '–')
    end as evidence,
    coalesce(evidence = 'review', false) as is_review,
    as_count(n_unknown, status) as n_unknown,
    as_count(n_withdrew, status) as n_withdrew
from adverse_impact
order by slice, stage_order, is_reference desc, group_value
