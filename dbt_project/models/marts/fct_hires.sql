with employees as (

    select * from {{ ref('stg_employees') }}

),

applications as (

    select * from {{ ref('int_applications') }}

),

links as (

    select * from {{ source('identity', 'employee_links') }}

),

-- The source's own word first; else the ladder's.
joined as (

    select
        employees.*,
        coalesce(
            employees.application_id, links.application_id
        ) as joined_application_id,
        case
            when employees.application_id is not null then 'delivered'
            else links.join_method
        end as join_method,
        case
            when employees.application_id is not null then cast(1 as double)
            else links.join_confidence
        end as join_confidence
    from employees
    left join links on employees.employee_id = links.employee_id

),

final as (

    select
        joined.employee_id,
        applications.application_id,
        applications.candidate_id,
        applications.role_family,
        joined.hired_on,
        joined.join_method,
        joined.join_confidence,
        case
            when joined.left_on < cast({{ as_of_end() }} as date)
                then joined.left_on
        end as left_on,
        case
            when joined.left_on < cast({{ as_of_end() }} as date)
                then joined.leave_reason
        end as leave_reason,
        coalesce(joined.left_on < cast({{ as_of_end() }} as date), false) as is_left
    from joined
    inner join applications
        on
            joined.joined_application_id = applications.delivered_application_id
            and {{ in_episode('cast(joined.hired_on as timestamp)') }}
    where joined.hired_on < cast({{ as_of_end() }} as date)

)

select * from final
