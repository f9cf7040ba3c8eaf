select
    role_family || ' × ' || window_id as slice,
    readable(round) as round,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    verdict in ('merge', 'shorten', 'drop_candidate', 'add_rater') as is_to_change,
    as_count(n, status) as n,
    as_count(n_all_rounds, status) as n_all_rounds,
    decimal_with_range(estimate, ci_low, ci_high, status) as reliability,
    as_decimal(hours_per_candidate, status) as hours,
    as_decimal(info_per_hour, status) as info_per_hour,
    decimal_with_range(
        marginal_reliability, marginal_reliability_ci_low,
        marginal_reliability_ci_high, status
    ) as adds,
    coalesce(
        readable(redundant_with) || ' '
        || decimal_with_range(
            redundancy_r, redundancy_r_ci_low, redundancy_r_ci_high, status
        ), '–'
    ) as resembles,
    as_percent(decision_consistency, status) as consistency,
    as_percent(borderline_share, status) as borderline,
    as_percent(flip_rate, status) as flips,
    as_percent(candidate_dropoff, status) as dropoff,
    coalesce(readable(verdict), '–') as verdict
from round_signal
where round <> 'none'
order by slice, estimate desc nulls last, round
