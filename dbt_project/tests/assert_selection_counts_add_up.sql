-- No generic test adds up columns: every episode that entered is decided, withdrawn,
-- open or closed without a decision, and only decided ones can be selected.
with selection_counts as (

    select * from {{ ref('fct_selection_counts') }}

),

final as (

    select
        window_id,
        stratum,
        stage,
        attribute,
        group_value
    from selection_counts
    where
        n_entered <> n_decided + n_withdrew + n_open + n_closed_no_decision
        or n_selected > n_decided

)

select * from final
