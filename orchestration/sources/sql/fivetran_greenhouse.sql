-- Fivetran's tables of Greenhouse, as of Harvest v3, to the relations that
-- greenhouse.sql reads.

create table rejection_reasons as
with worded as (
    select
        *,
        upper(replace(type_key, ' ', '_')) as key_word,
        upper(replace(coalesce(type_name, type), ' ', '_')) as name_word
    from fivetran.rejection_reason
)

select
    id,
    '' as parent,
    name,
    case
        when key_word in (
            'WE_REJECTED_THEM', 'THEY_REJECTED_US', 'NONE_SPECIFIED', 'SECURITY_CONCERN'
        )
            then key_word
        else coalesce(name_word, key_word)
    end as type
from worded;

create temp table places_of_jobs as
select job_id, to_json(list(office_id order by office_id)) as office_ids
from fivetran.job_office
where office_id is not null
group by job_id;

create table jobs as
select
    j.id,
    '' as parent,
    j.name,
    j.department_id,
    coalesce(p.office_ids, '[]'::json) as office_ids,
    j.status,
    truth_of(j.is_template) as is_template,
    iso_of(j.opened_at) as opened_at,
    iso_of(j.closed_at) as closed_at
from fivetran.job as j
left join places_of_jobs as p on j.id = p.job_id;

create table job_hiring_managers as
select job_id || '/' || user_id as id, '' as parent, job_id, user_id
from fivetran.job_hiring_manager;

create table job_owners as
select
    job_id || '/' || user_id || '/' || type as id,
    '' as parent,
    job_id,
    user_id,
    type
from fivetran.job_owner;

create table openings as
select
    id,
    '' as parent,
    job_id,
    application_id,
    truth_of(is_open) as open,
    iso_of(opened_at) as opened_at,
    iso_of(closed_at) as closed_at,
    close_reason_id
from fivetran.opening;

create table job_interview_stages as
select id, '' as parent, job_id, name, sort_order, truth_of(active) as active
from fivetran.job_interview_stage;

create table job_interviews as
select id, '' as parent, job_interview_stage_id, name
from fivetran.job_interview;

create table interview_kits as
select id, '' as parent, job_interview_id
from fivetran.interview_kit;

create table job_candidate_attributes as
select id, '' as parent, name
from fivetran.job_candidate_attribute;

create table rejection_details as
select
    application_id as id,
    '' as parent,
    rejection_reason_id,
    iso_of(rejected_at) as rejected_at
from fivetran.rejection_detail
qualify row_number() over (
    partition by application_id
    order by try_cast(rejected_at as timestamptz) desc nulls last, rejection_reason_id
) = 1;

create table candidates as
with emails as (
    select
        candidate_id,
        arg_min(value, (coalesce(try_cast(index as bigint), 0), value)) as email
    from fivetran.candidate_email_address
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
select
    a.id,
    a.candidate_id,
    a.job_id,
    a.prospect,
    a.status,
    a.stage_id,
    a.recruiter_id,
    a.source_id,
    a.rejected_at,
    d.rejection_reason_id as reason_id,
    a.created_at,
    a.updated_at
from fivetran.application as a
left join rejection_details as d on a.id = d.id;

-- Stays as Greenhouse tells them itself.
create temp table told_stays as
select id, application_id, job_interview_stage_id, entered_at, exited_at, created_at
from fivetran.application_stage;

create table interviews as
select
    id,
    '' as parent,
    application_id,
    job_interview_id,
    status,
    iso_of(starts_at) as starts_at,
    iso_of(ends_at) as ends_at,
    all_day_start_on,
    iso_of(created_at) as created_at,
    iso_of(updated_at) as updated_at
from fivetran.interview;

create table interviewers as
select
    coalesce(id, interview_id || '/' || coalesce(user_id, 'guest')) as id,
    '' as parent,
    interview_id,
    user_id,
    response_status,
    scorecard_id
from fivetran.interviewer;

create table scorecards as
select
    id,
    '' as parent,
    application_id,
    interview_kit_id,
    coalesce(interviewer_id, submitter_id) as interviewer_id,
    case when submitted_at is not null and coalesce(status, '') <> 'draft' then 'complete'
        else 'draft' end as status,
    case when coalesce(status, '') <> 'draft' then spelled(candidate_rating) end
        as candidate_rating,
    case when coalesce(status, '') <> 'draft' then iso_of(submitted_at) end
        as submitted_at,
    iso_of(updated_at) as updated_at
from fivetran.scorecard;

create table scorecard_candidate_attributes as
select
    id,
    '' as parent,
    scorecard_id,
    job_candidate_attribute_id,
    spelled(candidate_attribute_rating) as candidate_attribute_rating,
    note as has_note,
    iso_of(updated_at) as updated_at
from fivetran.scorecard_candidate_attribute;
