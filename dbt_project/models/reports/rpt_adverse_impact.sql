with estimates as (

    select * from {{ source('statistics', 'adverse_impact') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

stages as (

    select * from {{ ref('dim_stages') }}

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
        estimates.stage,
        coalesce(stages.stage_order, 0) as stage_order,
        estimates.attribute,
        estimates.group_value,
        estimates.n,
        estimates.estimate,
        estimates.ci_low,
        estimates.ci_high,
        estimates.ci_method,
        estimates.status,
        case
            when estimates.status = 'inconclusive' then 'the interval includes one'
            when estimates.status <> 'insufficient' then ''
            when estimates.reference_group is null
                then 'no group is large enough to be the reference'
            when estimates.n < {{ var('policy').show_minimum_parity_group }}
                then
                    'fewer than {{ var("policy").show_minimum_parity_group }}'
                    || ' people decided on; counts and exact p only'
            else
                'too few selections expected of the group or of its reference;'
                || ' counts and exact p only'
        end as status_reason,
        estimates.selected,
        estimates.selection_rate,
        estimates.selection_rate_ci_low,
        estimates.selection_rate_ci_high,
        estimates.reference_group,
        estimates.is_reference,
        estimates.n_reference,
        estimates.four_fifths_flag,
        estimates.flips_with_one,
        estimates.fisher_p,
        estimates.midp,
        estimates.z_hyper,
        estimates.sd_units,
        estimates.shortfall,
        estimates.phi,
        estimates.cohen_h,
        estimates.mh_or,
        estimates.mh_rr,
        estimates.mh_rr_ci_low,
        estimates.mh_rr_ci_high,
        estimates.bd_p,
        estimates.std_rate,
        estimates.simpson_flag,
        estimates.min_detectable_ratio,
        estimates.p,
        estimates.q,
        estimates.n_unknown,
        estimates.n_withdrew,
        estimates.n_open,
        estimates.n_closed_no_decision,
        estimates.ll144_excluded,
        estimates.evidence
    from estimates
    inner join windows on estimates.window_id = windows.window_id
    left join stages
        on
            estimates.role_family = stages.role_family
            and estimates.stage = stages.stage

)

select * from final
