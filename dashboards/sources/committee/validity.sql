select
    role_family || ' × ' || window_id || ' × ' || outcome as slice,
    predictor_kind,
    case predictor_kind
        when 'composite' then 'all rounds together'
        when 'round' then readable(predictor) || ': whole round'
        else readable(predictor)
    end as predictor,
    row_number() over (
        partition by role_family, window_id, outcome
        order by predictor_kind = 'competency', predictor_kind = 'round', predictor
    ) as place,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_count(n_applicants_scored, status) as n_scored,
    as_decimal(estimate, status) as observed,
    decimal_range(ci_low, ci_high) as interval,
    as_decimal(r_corrected, status) as corrected,
    decimal_range(r_corrected_ci_low, r_corrected_ci_high) as corrected_interval,
    as_percent(share_left, status) as share_left,
    as_decimal(sd_ratio_u, status) as spread_kept,
    as_count(n_complete, status) as n_complete,
    percent_with_range(unique_r2, unique_r2_ci_low, unique_r2_ci_high, status) as adds,
    p_value(delta_r2_q) as adds_q,
    case
        when unique_r2 is null then '–'
        else coalesce(readable(dominated_by), 'none')
    end as outdone_by,
    as_decimal(benchmark, status) as benchmark
from predictive_validity
order by slice, place
