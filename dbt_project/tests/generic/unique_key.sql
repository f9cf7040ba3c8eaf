{#  A key is one row and no null. `nullable` names the columns of a composite key that
    the landing contract lets a source leave out; there a null is a value like any. #}
{% test unique_key(model, columns, nullable=[]) %}

    select {{ columns | join(', ') }}
    from {{ model }}
    group by {{ columns | join(', ') }}
    having
        count(*) > 1
        {% for column in columns if column not in nullable -%}
            or {{ column }} is null
        {% endfor %}

{% endtest %}
