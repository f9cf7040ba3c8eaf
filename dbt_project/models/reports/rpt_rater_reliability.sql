with estimates as (

    select * from {{ source('statistics', 'rater_reliability') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

final as (

    select
        windows.window_id,
        windows.window_kind,
        windows.window_label,
        windows.window_start,
        windows.window_end,
        windows.is_closed,
        estimates.role_family,
        estimates.round,
        estimates.competency,
        estimates.rubric_id,
        estimates.rubric_version,
        estimates.scale_id,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status = 'boundary'
                then 'no variance between candidates was found'
            when estimates.status <> 'insufficient' then ''
            when estimates.n_multi < {{ var('policy').show_minimum_candidates }}
                then
                    'fewer than {{ var("policy").show_minimum_candidates }}'
                    || ' candidates rated by two or more'
            else 'candidates and interviewers cannot be told apart'
        end as status_reason,
        estimates.n_multi,
        estimates.n_raters,
        estimates.n_ratings,
        estimates.n_after_debrief,
        estimates.n_independence_unknown,
        estimates.k_harmonic,
        estimates.q_overlap,
        estimates.n_components,
        estimates.largest_component_share,
        estimates.var_candidate,
        estimates.var_interviewer,
        estimates.var_question,
        estimates.var_cand_x_int,
        estimates.var_resid,
        estimates.icc_single,
        estimates.icc_single_ci_low,
        estimates.icc_single_ci_high,
        estimates.g_qk,
        estimates.icc1_anova,
        estimates.icc1_anova_ci_low,
        estimates.icc1_anova_ci_high,
        estimates.alpha_ordinal,
        estimates.alpha_ordinal_ci_low,
        estimates.alpha_ordinal_ci_high,
        estimates.alpha_interval,
        estimates.alpha_interval_ci_low,
        estimates.alpha_interval_ci_high,
        estimates.ac2_quadratic,
        estimates.ac2_quadratic_ci_low,
        estimates.ac2_quadratic_ci_high,
        estimates.pct_exact,
        estimates.pct_within1,
        estimates.mean_pair_difference,
        estimates.mean_pair_difference_ci_low,
        estimates.mean_pair_difference_ci_high,
        estimates.score_mean,
        estimates.score_sd,
        estimates.modal_level,
        estimates.modal_share,
        estimates.modal_is_extreme,
        estimates.n_levels,
        estimates.sem,
        estimates.reliability_needed_k,
        estimates.g_plus_one,
        estimates.g_plus_two,
        estimates.borderline_share
    from estimates
    inner join windows on estimates.window_id = windows.window_id

)

select * from final
