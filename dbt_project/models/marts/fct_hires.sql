with employees as (

    select * from {{ ref('stg_employees') }}

),

applications as (

    select * from {{ ref('int_applications') }}

),

final as (

    select
        employees.employee_id,
        applications.application_id,
        applications.candidate_id,
        applications.role_family,
        employees.hired_on,
        case
            when employees.left_on < cast({{ as_of_end() }} as date)
                then employees.left_on
        end as left_on,
        case
            when employees.left_on < cast({{ as_of_end() }} as date)
                then employees.leave_reason
        end as leave_reason,
        coalesce(employees.left_on < cast({{ as_of_end() }} as date), false) as is_left
    from employees
    inner join applications
        on
            employees.application_id = applications.delivered_application_id
            and {{ in_episode('cast(employees.hired_on as timestamp)') }}
    where employees.hired_on < cast({{ as_of_end() }} as date)

)

select * from final
