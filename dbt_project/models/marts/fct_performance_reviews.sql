with reviews as (

    select * from {{ ref('stg_performance_reviews') }}

),

hires as (

    select * from {{ ref('fct_hires') }}

),

-- Nobody is judged by what they wrote about themselves.
kinds as (

    select
        *,
        case
            when reviewer_id = employee_id then 'self'
            else coalesce(kind, 'manager')
        end as review_kind
    from reviews

),

final as (

    select
        kinds.review_id,
        kinds.employee_id,
        hires.application_id,
        hires.role_family,
        kinds.cycle,
        kinds.reviewed_on,
        kinds.review_kind as kind,
        (kinds.rating - kinds.rating_min)
        / nullif(kinds.rating_max - kinds.rating_min, 0) as review_score,
        {{ days_between(
            'cast(hires.hired_on as timestamp)', 'cast(kinds.reviewed_on as timestamp)'
        ) }} / 30.4375 as months_since_hire,
        cast(
            row_number() over (
                partition by kinds.employee_id, kinds.review_kind
                order by kinds.reviewed_on asc, kinds.review_id asc
            ) as bigint
        ) as review_number
    from kinds
    inner join hires on kinds.employee_id = hires.employee_id
    where
        kinds.reviewed_on < cast({{ as_of_end() }} as date)
        and kinds.reviewed_on >= hires.hired_on

)

select * from final
