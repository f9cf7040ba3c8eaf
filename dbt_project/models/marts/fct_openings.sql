with openings as (

    select * from {{ ref('stg_openings') }}

),

jobs as (

    select * from {{ ref('stg_jobs') }}

),

final as (

    select
        openings.opening_id,
        openings.job_id,
        coalesce(jobs.role_family, 'unspecified') as role_family,
        openings.opened_at,
        case when openings.filled_at < {{ as_of_end() }} then openings.filled_at end
            as filled_at,
        case when openings.closed_at < {{ as_of_end() }} then openings.closed_at end
            as closed_at,
        not coalesce(
            coalesce(openings.filled_at, openings.closed_at) < {{ as_of_end() }}, false
        ) as is_open,
        {{ days_between(
            'openings.opened_at',
            'least(coalesce(openings.filled_at, openings.closed_at, '
            ~ as_of_end() ~ '), ' ~ as_of_end() ~ ')'
        ) }} as days_open
    from openings
    left join jobs on openings.job_id = jobs.job_id
    where openings.opened_at < {{ as_of_end() }}

)

select * from final
