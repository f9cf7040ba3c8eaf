-- No generic test adds up columns, or compares the sum with what landing accepted:
-- between a file and the tables no row may get lost or counted twice.
with row_counts as (

    select * from {{ ref('int_row_counts') }}

),

files as (

    select * from {{ source('landing', 'files') }}

),

landed as (

    select
        entity,
        source,
        sum(accepted) as n_rows
    from files
    group by entity, source

),

final as (

    select
        row_counts.entity,
        row_counts.source
    from row_counts
    left join landed
        on
            row_counts.entity = landed.entity
            and row_counts.source = landed.source
    where
        row_counts.accepted
        <> row_counts.current + row_counts.superseded + row_counts.quarantined
        or row_counts.current < 0
        -- Rows updated after as_of are accepted at landing and not read.
        or row_counts.accepted > coalesce(landed.n_rows, 0)

)

select * from final
