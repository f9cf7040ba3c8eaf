{# Self-identification by application, in small letters, and whether it names a group.

   The attribute `intersection` is sex and race or ethnicity together. Every application
   has it where both are asked at all: who was not asked one of them is of unknown
   group. #}
{% macro answers(demographics, applications) %}
    {%- set undisclosed = "('declined', 'unanswered', 'not asked')" -%}
    select
        spelled.application_id,
        spelled.attribute,
        spelled.group_value,
        spelled.group_value not in {{ undisclosed }} as is_disclosed
    from (
        select
            application_id,
            attribute,
            lower(trim(value)) as group_value
        from {{ demographics }}
    ) as spelled
    union all
    select
        crossed.application_id,
        'intersection' as attribute,
        crossed.sex || ' × ' || crossed.race_ethnicity as group_value,
        crossed.sex not in {{ undisclosed }}
        and crossed.race_ethnicity not in {{ undisclosed }} as is_disclosed
    from (
        select
            applications.application_id,
            coalesce(lower(trim(sexes.value)), 'not asked') as sex,
            coalesce(lower(trim(races.value)), 'not asked') as race_ethnicity
        from (
            select distinct delivered_application_id as application_id
            from {{ applications }}
        ) as applications
        inner join (
            select count(distinct attribute) as n_attributes
            from {{ demographics }}
            where attribute in ('sex', 'race_ethnicity')
        ) as asked on asked.n_attributes = 2
        left join {{ demographics }} as sexes
            on
                applications.application_id = sexes.application_id
                and sexes.attribute = 'sex'
        left join {{ demographics }} as races
            on
                applications.application_id = races.application_id
                and races.attribute = 'race_ethnicity'
    ) as crossed
{% endmacro %}
