select
    role_family || ' × ' || window_id || ' × ' || attribute as slice,
    readable(stage) as stage,
    stage_order,
    stage_order = 0 as is_overall,
    group_value,
    readable(stage) || ' · ' || group_value as stage_and_group,
    coalesce(is_reference, false) as is_reference,
    status,
    status_reason,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_count(selected, status) as selected,
    as_percent(selection_rate, status) as selection_rate,
    percent_range(selection_rate_ci_low, selection_rate_ci_high) as rate_interval,
    coalesce(reference_group, '–') as reference_group,
    case
        when is_reference then 'reference'
        else as_decimal(estimate, status)
    end as impact_ratio,
    decimal_range(ci_low, ci_high) as interval,
    as_decimal(mh_rr, status) as adjusted_ratio,
    decimal_range(mh_rr_ci_low, mh_rr_ci_high) as adjusted_interval,
    p_value(midp) as midp,
    p_value(q) as q,
    case
        when four_fifths_flag is null then '–'
        when four_fifths_flag then 'under 4/5'
            || case when flips_with_one then ' (one person turns it)' else '' end
        else 'no'
    end as four_fifths,
    case
        when simpson_flag is null then '–'
        when simpson_flag then 'differs from the strata'
        else 'agrees with the strata'
    end as simpson,
    p_value(bd_p) as homogeneity_p,
    as_decimal(min_detectable_ratio, status) as detectable,
    coalesce(readable(evidence), '–') as evidence,
    as_count(n_unknown, status) as n_unknown,
    as_count(n_withdrew, status) as n_withdrew
from adverse_impact
order by slice, stage_order, is_reference desc, group_value
