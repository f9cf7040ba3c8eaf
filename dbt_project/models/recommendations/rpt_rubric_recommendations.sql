with recommendations as (

    select * from {{ source('statistics', 'recommendations') }}

),

final as (

    select
        recommendation_id,
        rule_id,
        rule_version,
        quarter,
        target_kind,
        target,
        role_family,
        round,
        competency,
        rubric_id,
        rubric_version,
        stage,
        attribute,
        group_value,
        interviewer_id,
        n,
        estimate,
        ci_low,
        ci_high,
        ci_method,
        status,
        status_reason,
        statistic,
        threshold,
        p,
        q,
        evidence_level,
        action,
        action_text,
        expected_effect,
        caveats,
        valid_until,
        owner,
        decision,
        previous_outcome,
        is_action
    from recommendations

)

select * from final
