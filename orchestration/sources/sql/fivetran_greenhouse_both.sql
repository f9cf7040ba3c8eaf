-- What is told alike by Fivetran's tables of Harvest v1 and v3, after either has named
-- its applications and stays.

create table users as
select
    id,
    '' as parent,
    name_of(first_name, last_name) as name,
    truth_of(deactivated) as deactivated,
    -- Not in the copy, and so not known.
    null::json as department_ids,
    null::json as interviewer_tags
from fivetran.users;

create table departments as select id, '' as parent, name from fivetran.department;
create table offices as select id, '' as parent, name from fivetran.office;
create table sources as select id, '' as parent, name from fivetran.source;
create table close_reasons as select id, '' as parent, name from fivetran.close_reason;

-- Fed by webhooks: exact from the day that they were set up, and nothing before.
create temp table history as
select
    application_id,
    new_stage_id as stage_id,
    lower(new_status) as status,
    try_cast(updated_at as timestamptz) as instant,
    updated_at as written
from fivetran.application_history
where application_id in (select a.id from told_applications as a);

create table application_stages as
with changes as (
    select application_id, stage_id, instant, written
    from history
    where
        stage_id is not null
        and instant is not null
        and application_id not in (select s.application_id from told_stays as s)
    qualify stage_id is distinct from lag(stage_id) over (
        partition by application_id order by instant, stage_id
    )
),

stays as (
    select
        application_id || '/' || stage_id || '/' || epoch_ms(instant) as id,
        application_id,
        stage_id as job_interview_stage_id,
        written as entered_at,
        lead(written) over (partition by application_id order by instant, stage_id) as exited_at,
        null::varchar as created_at
    from changes
    union all
    select * from told_stays
),

-- The stage of today, where nothing tells how an application came into it.
arrived as (
    select a.id || '/' || a.stage_id as id, a.id as application_id, a.stage_id
    from told_applications as a
    where
        a.stage_id is not null
        and a.stage_id is distinct from (
            select arg_max(
                s.job_interview_stage_id,
                (coalesce(try_cast(s.entered_at as timestamptz), '-infinity'), s.id)
            )
            from stays as s
            where s.application_id = a.id
        )
        -- Greenhouse's own list of stays needs no help.
        and a.id not in (select s.application_id from told_stays as s)
)

select
    id,
    '' as parent,
    application_id,
    job_interview_stage_id,
    iso_of(entered_at) as entered_at,
    iso_of(exited_at) as exited_at,
    iso_of(created_at) as created_at
from stays
union all
select id, '', application_id, stage_id, null, null, null
from arrived;

-- Endings that the history saw, each undone by what follows it.
create temp table seen_endings as
with changes as (
    select application_id, status, instant, written
    from history
    where status is not null and instant is not null
    qualify status is distinct from lag(status) over (
        partition by application_id order by instant, status
    )
)

select
    application_id,
    status as kind,
    instant,
    written,
    lead(written) over (partition by application_id order by instant, status) as undone_at
from changes
qualify status in ('rejected', 'hired');

create table applications as
with last_seen as (
    select application_id, arg_max(kind, instant) as kind
    from seen_endings
    where undone_at is null
    group by application_id
),

endings as (
    select
        e.application_id,
        e.kind,
        e.instant as place,
        case
            when e.undone_at is null and e.kind = 'rejected'
                then coalesce(iso_of(a.rejected_at), iso_of(e.written))
            else iso_of(e.written)
        end as ended_at,
        case when e.undone_at is null and e.kind = 'rejected' then a.reason_id end
            as reason,
        -- Where the application says otherwise by now, a webhook was missed.
        iso_of(coalesce(
            e.undone_at,
            case when a.status is distinct from e.kind then a.updated_at end
        )) as reopened_at
    from seen_endings as e
    inner join told_applications as a on e.application_id = a.id
    union all
    select
        a.id,
        a.status,
        'infinity'::timestamptz,
        iso_of(coalesce(
            case when a.status = 'rejected' then a.rejected_at end, a.updated_at
        )),
        case when a.status = 'rejected' then a.reason_id end,
        null
    from told_applications as a
    left join last_seen as l on a.id = l.application_id
    where a.status in ('rejected', 'hired') and a.status is distinct from l.kind
),

listed as (
    select
        application_id,
        to_json(list(
            {'kind': kind, 'at': ended_at, 'reason': reason, 'reopened_at': reopened_at}
            order by place, kind
        )) as endings
    from endings
    group by application_id
)

select
    a.id,
    '' as parent,
    a.candidate_id,
    a.job_id,
    truth_of(a.prospect) as prospect,
    a.status,
    null::varchar as stage_id,
    null::varchar as stage_name,
    a.recruiter_id,
    a.source_id,
    iso_of(a.rejected_at) as rejected_at,
    iso_of(a.created_at) as created_at,
    iso_of(a.updated_at) as updated_at,
    coalesce(l.endings, '[]'::json) as endings
from told_applications as a
left join listed as l on a.id = l.application_id;

create table offers as
select
    id || '/' || coalesce(version, '1') as id,
    '' as parent,
    id as offer_id,
    coalesce(version, '1') as version,
    application_id,
    case lower(status)
        when 'unresolved' then 'Created'
        else upper(left(status, 1)) || lower(substr(status, 2))
    end as status,
    -- A day, not an instant.
    left(sent_on, 10) as sent_on,
    left(starts_on, 10) as starts_on,
    iso_of(resolved_at) as resolved_at,
    iso_of(created_at) as created_at,
    iso_of(updated_at) as updated_at
from fivetran.offer;

create table eeoc as
select
    application_id as id,
    '' as parent,
    application_id,
    gender_description as gender,
    race_description as race,
    coalesce(veteran_status_description, veteran_status_message) as veteran_status,
    disability_status_description as disability_status
from fivetran.eeoc;
