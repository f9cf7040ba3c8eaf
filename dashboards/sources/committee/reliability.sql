with named as (

    select
        *,
        readable(round) || ': '
        || case competency when 'all' then 'whole card' else readable(competency) end
        || case
            when min(rubric_version) over (partition by round)
                = max(rubric_version) over (partition by round) then ''
            else ' · v' || rubric_version
        end as target
    from rater_reliability

)

select
    role_family,
    window_id,
    window_kind,
    window_label,
    cast(window_start as varchar) as starts_on,
    target,
    quotable(target) as target_key,
    row_number() over (
        partition by role_family, window_id order by competency <> 'all', target
    ) as target_place,
    readable(round) as round,
    readable(competency) as competency,
    rubric_id,
    rubric_version,
    scale_id,
    status,
    note(status, status_reason) as note,
    estimate,
    ci_low,
    ci_high,
    as_count(n, status) as n,
    as_count(n_multi, status) as n_multi,
    as_count(n_raters, status) as n_raters,
    as_decimal(estimate, status) as panel_reliability,
    decimal_range(ci_low, ci_high) as interval,
    as_decimal(icc_single, status) as single_rater,
    decimal_range(icc_single_ci_low, icc_single_ci_high) as single_rater_interval,
    as_decimal(alpha_ordinal, status) as alpha_ordinal,
    decimal_range(alpha_ordinal_ci_low, alpha_ordinal_ci_high) as alpha_interval,
    as_decimal(ac2_quadratic, status) as ac2,
    decimal_range(ac2_quadratic_ci_low, ac2_quadratic_ci_high) as ac2_interval,
    as_percent(pct_exact, status) as exact_agreement,
    as_percent(pct_within1, status) as within_one,
    as_decimal(mean_pair_difference, status) as pair_difference,
    decimal_range(mean_pair_difference_ci_low, mean_pair_difference_ci_high)
        as pair_difference_interval,
    as_decimal(score_mean, status) as mean_score,
    as_decimal(score_sd, status) as spread,
    as_percent(modal_share, status) as most_used_level_share,
    as_decimal(k_harmonic, status) as raters_per_candidate,
    as_decimal(g_plus_one, status) as with_one_more,
    as_decimal(g_plus_two, status) as with_two_more,
    as_days(reliability_needed_k, status) as raters_needed
from named
order by role_family, starts_on, target
