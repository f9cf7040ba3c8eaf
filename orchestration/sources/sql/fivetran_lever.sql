-- Fivetran's tables of Lever to the relations that lever.sql reads.

create table stages as
select id, '' as parent, text
from fivetran.stage;

-- Fivetran leaves the type of a reason out. One for which applications were hired
-- against a requisition is a hire, and so is one that is called so.
create table archive_reasons as
select
    r.id,
    '' as parent,
    r.text,
    coalesce(
        r.type,
        case
            when regexp_matches(lower(r.text), '^hired($|[^a-z])')
                or r.id in (
                    select o.archived_reason_id
                    from fivetran.opportunity as o
                    inner join fivetran.application as a on o.id = a.opportunity_id
                    where
                        a.requisition_for_hire_id is not null
                        and o.archived_at is not null
                        and o.archived_reason_id is not null
                )
                then 'hired'
            else 'non-hired'
        end
    ) as type
from fivetran.archive_reason as r;

create table opportunities as
with moves as (
    select
        opportunity_id,
        to_json(list(
            {
                'toStageId': stage_id,
                'toStageIndex': try_cast(to_stage_index as double),
                'updatedAt': epoch_ms(try_cast(updated_at as timestamptz))
            }
            order by
                try_cast(updated_at as timestamptz),
                try_cast(to_stage_index as double),
                stage_id
        )) as changes
    from fivetran.opportunity_stage_history
    group by opportunity_id
),

emails as (
    select contact_id, min(email) as email
    from fivetran.contact_email
    group by contact_id
)

select
    o.id,
    '' as parent,
    o.contact,
    case when not coalesce(try_cast(o.is_anonymized as boolean), false) then o.name end
        as name,
    case when not coalesce(try_cast(o.is_anonymized as boolean), false) then e.email end
        as email,
    ms_of(o.created_at) as createdAt,
    ms_of(o.updated_at) as updatedAt,
    ms_of(o.last_advanced_at) as lastAdvancedAt,
    o.stage_id as stage,
    coalesce(m.changes, '[]'::json) as stageChanges,
    ms_of(o.archived_at) as archivedAt,
    o.archived_reason_id as archiveReason,
    -- The copy tells the last archiving only.
    case
        when o.archived_at is null then '[]'::json
        else to_json([{
            'archivedAt': epoch_ms(try_cast(o.archived_at as timestamptz)),
            'reason': o.archived_reason_id,
            'reopenedAt': null::bigint
        }])
    end as archivings,
    o.owner_id as owner,
    o.origin,
    o.is_anonymized as isAnonymized
from fivetran.opportunity as o
left join moves as m on o.id = m.opportunity_id
left join emails as e on o.contact = e.contact_id;

create table applications as
select
    id,
    opportunity_id as parent,
    ms_of(created_at) as createdAt,
    posting_id as posting,
    requisition_for_hire_id as requisition
from fivetran.application;

create temp table forms as
with about as (
    select feedback_form_id, min(interview_id) as interview_id
    from fivetran.interview_feedback
    group by feedback_form_id
)

select
    f.id,
    f.opportunity_id,
    f.creator_id,
    f.template_id,
    f.text,
    spelled(f.score_system_value) as overall,
    f.completed_at,
    coalesce(f.interview_id, i.interview_id) as interview_id
from fivetran.feedback_form as f
left join about as i on f.id = i.feedback_form_id
where f.deleted_at is null;

create table feedback as
with rated as (
    select
        f.id,
        d.competency,
        try_cast(v.field_index as bigint) as field_index,
        try_cast(v.value_index as bigint) as value_index,
        -- Text may be a comment: only what the scale knows is a rating.
        coalesce(spelled(v.value_number), spelled(v.value_decimal), s.spelling) as rating
    from fivetran.feedback_form_field as v
    inner join forms as f on v.feedback_form_id = f.id
    inner join declared_fields as d
        on
            d.form in (f.template_id, f.text)
            and try_cast(v.field_index as bigint) = d.field_index
            and (
                d.value_index is null
                or coalesce(try_cast(v.value_index as bigint), 0) = d.value_index
            )
    left join spellings as s on v.value_text = s.spelling
    -- What is declared of a template goes before what is of a title, and of a line of a
    -- field before the field.
    qualify row_number() over (
        partition by f.id, v.field_index, v.value_index
        order by coalesce(d.form = f.template_id, false) desc, d.value_index nulls last
    ) = 1
),

scores as (
    select
        id,
        to_json(list(
            {'competency': competency, 'rating': rating, 'hasEvidence': null::boolean}
            order by field_index, value_index nulls first, competency
        )) as scores
    from rated
    group by id
)

select
    f.id,
    f.opportunity_id as parent,
    f.text,
    f.creator_id as "user",
    f.interview_id as interview,
    f.template_id as baseTemplateId,
    -- Without its questions the version of a form is not known.
    null::varchar as rubricVersion,
    f.overall,
    coalesce(s.scores, '[]'::json) as scores,
    null::varchar as updatedAt,
    ms_of(f.completed_at) as completedAt
from forms as f
left join scores as s on f.id = s.id;

create table feedback_templates as
select
    template_id as id,
    '' as parent,
    arg_max(text, (try_cast(completed_at as timestamptz), id)) as text
from forms
where template_id is not null and text is not null
group by template_id;

create table interviews as
with people as (
    select interview_id, to_json(list(distinct user_id order by user_id)) as interviewers
    from fivetran.interview_user
    where user_id is not null
    group by interview_id
),

-- An interview with forms of one template was that round.
templates as (
    select interview_id, min(template_id) as template_id
    from forms
    where interview_id is not null and template_id is not null
    group by interview_id
    having count(distinct template_id) = 1
)

select
    i.id,
    i.opportunity_id as parent,
    null::varchar as panel,
    coalesce(p.interviewers, '[]'::json) as interviewers,
    i.timezone,
    ms_of(i.created_at) as createdAt,
    ms_of(i.date) as date,
    i.duration,
    t.template_id as feedbackTemplate,
    i.stage_id as stage,
    ms_of(i.canceled_at) as canceledAt
from fivetran.interview as i
left join people as p on i.id = p.interview_id
left join templates as t on i.id = t.interview_id;

create table offers as
select
    id,
    -- Accounts of before opportunities name it a candidate.
    coalesce(opportunity_id, candidate_id) as parent,
    status,
    ms_of(created_at) as createdAt,
    ms_of(approved_at) as approvedAt,
    ms_of(sent_at) as sentAt,
    ms_of(signed_at) as signedAt,
    ms_of(starts_at) as startsAt
from fivetran.offer;

create table postings as
with managers as (
    select
        posting_id,
        arg_max(
            posting_hiring_manager_id, (try_cast(created_at as timestamptz), id)
        ) as manager_id
    from fivetran.application
    where posting_hiring_manager_id is not null
    group by posting_id
)

select
    p.id,
    '' as parent,
    p.text,
    ms_of(p.created_at) as createdAt,
    p.owner_id as owner,
    -- Fivetran tells it with each application: that of the last one holds.
    m.manager_id as hiringManager,
    p.categories_team as team,
    p.categories_department as department,
    p.categories_location as location,
    p.categories_level as level
from fivetran.posting as p
left join managers as m on p.id = m.posting_id;

create table requisitions as
with posted as (
    select requisition_id, min(posting_id) as posting_id
    from fivetran.requisition_posting
    group by requisition_id
)

select
    r.id,
    '' as parent,
    p.posting_id as posting,
    r.status,
    ms_of(r.created_at) as createdAt,
    ms_of(r.closed_at) as closedAt,
    r.headcount_total as headcountTotal
from fivetran.requisition as r
left join posted as p on r.id = p.requisition_id;

create table users as
select id, '' as parent, name, ms_of(deactivated_at) as deactivatedAt
from fivetran.users;
