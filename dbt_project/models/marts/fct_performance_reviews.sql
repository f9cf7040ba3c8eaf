with reviews as (

    select
        *,
        -- Nobody is judged by what they wrote about themselves.
        case
            when reviewer_id = employee_id then 'self'
            else coalesce(kind, 'manager')
        end as review_kind
    from {{ ref('stg_performance_reviews') }}

),

hires as (

    select * from {{ ref('fct_hires') }}

),

final as (

    select
        reviews.review_id,
        reviews.employee_id,
        hires.application_id,
        hires.role_family,
        reviews.cycle,
        reviews.reviewed_on,
        reviews.review_kind as kind,
        (reviews.rating - reviews.rating_min)
        / nullif(reviews.rating_max - reviews.rating_min, 0) as review_score,
        {{ days_between(
            'cast(hires.hired_on as timestamp)', 'cast(reviews.reviewed_on as timestamp)'
        ) }} / 30.4375 as months_since_hire,
        cast(
            row_number() over (
                partition by reviews.employee_id, reviews.review_kind
                order by reviews.reviewed_on asc, reviews.review_id asc
            ) as bigint
        ) as review_number
    from reviews
    inner join hires on reviews.employee_id = hires.employee_id
    where
        reviews.reviewed_on < cast({{ as_of_end() }} as date)
        and reviews.reviewed_on >= hires.hired_on

)

select * from final
