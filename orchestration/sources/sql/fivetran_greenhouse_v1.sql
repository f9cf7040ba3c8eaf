-- Fivetran's tables of Greenhouse, as of Harvest v1, to the relations that
-- greenhouse.sql reads.

create table rejection_reasons as
select
    id,
    '' as parent,
    name,
    upper(replace(coalesce(type_name, type, type_key), ' ', '_')) as type
from fivetran.rejection_reason;

create temp table places_of_jobs as
select job_id, to_json(list(office_id order by office_id)) as office_ids
from fivetran.job_office
where office_id is not null
group by job_id;

create table jobs as
with departments_of_jobs as (
    select job_id, min(department_id) as department_id
    from fivetran.job_department
    group by job_id
)

select
    j.id,
    '' as parent,
    j.name,
    d.department_id,
    coalesce(p.office_ids, '[]'::json) as office_ids,
    j.status,
    null::varchar as is_template,
    iso_of(j.opened_at) as opened_at,
    iso_of(j.closed_at) as closed_at
from fivetran.job as j
left join departments_of_jobs as d on j.id = d.job_id
left join places_of_jobs as p on j.id = p.job_id;

-- Roles are named `hiring managers`, `recruiters` and so on.
create temp table teams as
select
    job_id,
    user_id,
    rtrim(regexp_replace(lower(role), '[ _]+', '_', 'g'), 's') as role
from fivetran.hiring_team;

create table job_hiring_managers as
select job_id || '/' || user_id as id, '' as parent, job_id, user_id
from teams
where role = 'hiring_manager';

create table job_owners as
select
    job_id || '/' || user_id || '/' || role as id,
    '' as parent,
    job_id,
    user_id,
    role as type
from teams
where role <> 'hiring_manager';

create table openings as
select
    id,
    '' as parent,
    job_id,
    application_id,
    cast(status = 'open' as varchar) as open,
    iso_of(opened_at) as opened_at,
    iso_of(closed_at) as closed_at,
    close_reason_id
from fivetran.job_opening;

-- Fivetran leaves the place of a stage in its plan out; stages are made in that order.
create table job_interview_stages as
select
    id,
    '' as parent,
    job_id,
    name,
    coalesce(
        priority,
        cast(row_number() over (
            partition by job_id
            order by try_cast(created_at as timestamptz), try_cast(id as bigint), id
        ) as varchar)
    ) as sort_order,
    'true' as active
from fivetran.job_stage;

-- A scorecard is about the interview that it hangs on, else about the one of its job
-- that has its title.
create temp table steps_of_cards as
with hanging as (
    select p.scorecard_id, min(i.interview_id) as interview_id
    from fivetran.scheduled_interviewer as p
    inner join fivetran.scheduled_interview as i on p.scheduled_interview_id = i.id
    where p.scorecard_id is not null
    group by p.scorecard_id
),

named as (
    select s.id as scorecard_id, min(i.id) as interview_id
    from fivetran.scorecard as s
    inner join fivetran.job_application as j on s.application_id = j.application_id
    inner join fivetran.job_stage as t on j.job_id = t.job_id
    inner join fivetran.interview as i on t.id = i.job_stage_id and s.interview = i.name
    group by s.id
    having count(distinct i.id) = 1
)

select
    s.id as scorecard_id,
    s.interview as title,
    coalesce(
        'interview-' || coalesce(h.interview_id, n.interview_id), 'title-' || s.interview
    ) as kit_id
from fivetran.scorecard as s
left join hanging as h on s.id = h.scorecard_id
left join named as n on s.id = n.scorecard_id;

create table job_interviews as
select id, '' as parent, job_stage_id as job_interview_stage_id, name
from fivetran.interview
union all
select distinct kit_id, '', null, title
from steps_of_cards
where kit_id like 'title-%';

-- v1 names no kits here; each interview has its own.
create table interview_kits as
select 'interview-' || id as id, '' as parent, id as job_interview_id
from fivetran.interview
union all
select distinct kit_id, '', kit_id
from steps_of_cards
where kit_id like 'title-%';

create table job_candidate_attributes as
select distinct name as id, '' as parent, name
from fivetran.scorecard_attribute
where name is not null;

create table rejection_details as
select
    id,
    '' as parent,
    rejected_reason_id as rejection_reason_id,
    iso_of(rejected_at) as rejected_at
from fivetran.application
where status = 'rejected';

create table candidates as
with emails as (
    select
        candidate_id,
        arg_min(value, (coalesce(try_cast(index as bigint), 0), value)) as email
    from fivetran.email_address
    where value is not null
    group by candidate_id
)

select
    c.id,
    '' as parent,
    case when not is_anonymised(c.first_name) then name_of(c.first_name, c.last_name) end
        as name,
    case when not is_anonymised(c.first_name) then e.email end as email,
    iso_of(c.created_at) as created_at
from fivetran.candidate as c
left join emails as e on c.id = e.candidate_id;

-- What both generations tell of applications, under the names of v3.
create temp table told_applications as
with jobs_of_applications as (
    select application_id, min(job_id) as job_id
    from fivetran.job_application
    group by application_id
)

select
    a.id,
    a.candidate_id,
    j.job_id,
    a.prospect,
    a.status,
    a.current_stage_id as stage_id,
    c.recruiter_id,
    a.source_id,
    a.rejected_at,
    a.rejected_reason_id as reason_id,
    a.applied_at as created_at,
    a.last_activity_at as updated_at
from fivetran.application as a
left join jobs_of_applications as j on a.id = j.application_id
left join fivetran.candidate as c on a.candidate_id = c.id
where coalesce(try_cast(a.is_deleted as boolean), false) = false;

create temp table told_stays (
    id varchar, application_id varchar, job_interview_stage_id varchar,
    entered_at varchar, exited_at varchar, created_at varchar
);

-- The time of an interview of a whole day is a date.
create table interviews as
select
    id,
    '' as parent,
    application_id,
    interview_id as job_interview_id,
    status,
    case when length("start") > 10 then iso_of("start") end as starts_at,
    case when length("end") > 10 then iso_of("end") end as ends_at,
    case when length("start") <= 10 then "start" end as all_day_start_on,
    iso_of(created_at) as created_at,
    iso_of(updated_at) as updated_at
from fivetran.scheduled_interview;

create table interviewers as
select
    scheduled_interview_id || '/' || coalesce(interviewer_id, 'guest') as id,
    '' as parent,
    scheduled_interview_id as interview_id,
    interviewer_id as user_id,
    null::varchar as response_status,
    scorecard_id
from fivetran.scheduled_interviewer;

create table scorecards as
select
    s.id,
    '' as parent,
    s.application_id,
    k.kit_id as interview_kit_id,
    s.submitted_by_user_id as interviewer_id,
    case when s.submitted_at is not null then 'complete' else 'draft' end as status,
    spelled(s.overall_recommendation) as candidate_rating,
    iso_of(s.submitted_at) as submitted_at,
    iso_of(s.updated_at) as updated_at
from fivetran.scorecard as s
inner join steps_of_cards as k on s.id = k.scorecard_id;

create table scorecard_candidate_attributes as
select
    a.scorecard_id || '/' || coalesce(a.index, a.name) as id,
    '' as parent,
    a.scorecard_id,
    a.name as job_candidate_attribute_id,
    spelled(a.rating) as candidate_attribute_rating,
    a.note as has_note,
    iso_of(s.updated_at) as updated_at
from fivetran.scorecard_attribute as a
inner join fivetran.scorecard as s on a.scorecard_id = s.id;
