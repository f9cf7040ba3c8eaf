with versions as (

    select * from {{ ref('stg_row_versions') }}

),

quarantined_rows as (

    select * from {{ ref('int_quarantined_rows') }}

),

-- What every source delivered up to as_of, and what staging kept of it.
delivered as (

    {% for entity, about in entities().items() %}
        select
            '{{ entity }}' as entity,
            _source as source,
            count(*) as n_rows
        from {{ source('raw', entity) }}
        {% if about[1] -%}
            where updated_at is null or updated_at < {{ as_of_end() }}
        {%- endif %}
        group by _source
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

kept as (

    {% for entity in entities() %}
        select
            '{{ entity }}' as entity,
            _source as source,
            count(*) as n_rows
        from {{ ref('stg_' ~ entity) }}
        group by _source
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

superseded as (

    select
        entity,
        source,
        count(*) as n_rows
    from versions
    where version_state = 'superseded'
    group by entity, source

),

refused as (

    select
        entity,
        source,
        count(*) as n_rows,
        count(*) filter (where code <> 'conflict') as n_references
    from quarantined_rows
    group by entity, source

),

final as (

    select
        delivered.entity,
        delivered.source,
        cast(delivered.n_rows as bigint) as accepted,
        cast(
            coalesce(kept.n_rows, 0) - coalesce(refused.n_references, 0) as bigint
        ) as current,
        cast(coalesce(superseded.n_rows, 0) as bigint) as superseded,
        cast(coalesce(refused.n_rows, 0) as bigint) as quarantined
    from delivered
    left join kept
        on delivered.entity = kept.entity and delivered.source = kept.source
    left join superseded
        on
            delivered.entity = superseded.entity
            and delivered.source = superseded.source
    left join refused
        on delivered.entity = refused.entity and delivered.source = refused.source

)

select * from final
