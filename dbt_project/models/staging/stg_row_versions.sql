{{ config(materialized='table') }}

{% for entity in entities() %}
    {{ losing_rows(entity) }}
    {% if not loop.last %}union all{% endif %}
{% endfor %}
