{# Makes the Parquet files of every source visible as `<schema>.<table>`.
   Only raw files stay where they are; what lies in the folder of a generation, which is
   renamed and cleared when it is finished, becomes a table. #}
{% macro register_parquet() %}
    {% if execute %}
        {% for schema, tables in var('parquet_sources').items() %}
            {% do run_query('create schema if not exists ' ~ schema) %}
            {% for table, files in tables.items() %}
                {% do run_query(register_one(schema, table, files)) %}
            {% endfor %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{% macro register_one(schema, table, files) %}
    {{ return(adapter.dispatch('register_one')(schema, table, files)) }}
{% endmacro %}

{% macro duckdb__register_one(schema, table, files) %}
    {%- set kind = 'view' if schema == 'raw' else 'table' -%}
    create or replace {{ kind }} {{ schema }}.{{ table }} as
    select * from read_parquet([
        {%- for file in files %}'{{ file | replace("'", "''") }}'
            {%- if not loop.last %}, {% endif %}{% endfor -%}
    ], union_by_name = true)
{% endmacro %}

{% macro spark__register_one(schema, table, files) %}
    create or replace view {{ schema }}.{{ table }} as
    {% for file in files %}
        select * from parquet.`{{ file }}`
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
{% endmacro %}
