-- Greenhouse to the landing contract. Relations are named for the lists of Harvest v3.
-- What several entities rest on is made once, as a table.

-- Labels that an account makes up for itself, as one word.
create macro slug(label) as
    nullif(trim(regexp_replace(lower(label), '[^\p{L}\p{N}]+', '_', 'g'), '_'), '');

create macro instant_of(written) as try_cast(written as timestamptz);

create temp table families as
select
    j.id as job_id,
    d.name as department,
    coalesce(family_of(d.name), default_family()) as role_family
from jobs as j
left join departments as d on j.department_id = d.id
where coalesce(j.is_template, 'false') <> 'true';

create temp table reasons as
select
    id,
    case when type = 'THEY_REJECTED_US' then 'withdrawn' else 'rejected' end as outcome,
    case
        when type in (
            'WE_REJECTED_THEM', 'THEY_REJECTED_US', 'NONE_SPECIFIED', 'SECURITY_CONCERN'
        )
            then slug(name)
        else 'unmapped'
    end as reason_group
from rejection_reasons;

-- Prospects are no applications. The filter of the list says active, the list itself
-- in_process. A status that is not known here could be anything, and is left out.
create temp table known_applications as
select
    a.id as application_id,
    a.candidate_id,
    a.job_id,
    a.recruiter_id,
    a.source_id,
    a.stage_id,
    a.stage_name,
    a.created_at,
    a.updated_at,
    a.rejected_at,
    a.endings,
    case
        when a.status in ('in_process', 'active') then 'active'
        when a.status = 'hired' then 'hired'
        else coalesce(r.outcome, 'rejected')
    end as status,
    case when a.status = 'rejected' then r.reason_group end as reason_group,
    -- Where no job is known, the family that applications without a job get later.
    coalesce(
        f.role_family,
        case when default_family() = 'all roles' then 'unspecified' else default_family() end
    ) as role_family
from applications as a
left join families as f on a.job_id = f.job_id
left join rejection_details as d on a.id = d.id and a.status = 'rejected'
left join reasons as r on d.rejection_reason_id = r.id
where
    coalesce(a.prospect, 'false') <> 'true'
    and a.status in ('in_process', 'active', 'rejected', 'hired')
    and a.candidate_id is not null
    and a.created_at is not null;

-- An offer that was not sent is none yet, unless somebody has answered it.
create temp table sent_offers as
select
    o.offer_id,
    o.version,
    o.application_id,
    -- `sent_on` is a day: it begins in the zone of the source.
    coalesce(o.sent_on, o.created_at) as extended_at,
    case o.status
        when 'Created' then 'pending'
        when 'Accepted' then 'accepted'
        when 'Rejected' then 'declined'
        -- A newer version has taken its place.
        when 'Deprecated' then 'rescinded'
    end as status,
    case when o.status <> 'Created' then o.resolved_at end as resolved_at,
    o.starts_on,
    o.updated_at
from offers as o
inner join known_applications as a using (application_id)
where
    o.status in ('Accepted', 'Rejected')
    or (o.status in ('Created', 'Deprecated') and o.sent_on is not null);

-- Reasons of closing whose name begins so mean that the opening was filled.
create temp table seats as
select
    o.id as opening_id,
    o.job_id,
    o.opened_at,
    o.closed_at,
    o.application_id,
    coalesce(o.open, 'false') <> 'true'
    and coalesce(
        regexp_matches(lower(c.name), '^hire(d$| ?-)'), o.application_id is not null
    ) as is_filled
from openings as o
left join close_reasons as c on o.close_reason_id = c.id;

-- How applications ended, and what undid that. An acceptance or a filled opening dates
-- a hire better than the change of the application's record.
create temp table endings as
with told as (
    select
        application_id,
        unnest(from_json(
            endings,
            '[{"kind": "varchar", "at": "varchar", "reason": "varchar", "reopened_at": "varchar"}]'
        )) as ending
    from known_applications
    where json_array_length(endings) > 0
),

hires as (
    select application_id, instant_of(resolved_at) as hired_at
    from sent_offers
    where status = 'accepted'
    union all
    select application_id, instant_of(closed_at)
    from seats
    where
        is_filled
        and application_id not in (
            select o.application_id from sent_offers as o
            where o.status = 'accepted' and o.resolved_at is not null
        )
),

dated as (
    select
        t.application_id,
        t.ending.kind as kind,
        t.ending.at as at,
        t.ending.reason as reason,
        t.ending.reopened_at as reopened_at,
        max(h.hired_at) as hired_at
    from told as t
    left join hires as h
        on
            t.application_id = h.application_id
            and t.ending.kind = 'hired'
            and h.hired_at <= coalesce(
                instant_of(t.ending.reopened_at), 'infinity'::timestamptz
            )
    group by all
)

select
    e.application_id,
    case
        when e.hired_at is null then e.at
        else strftime(e.hired_at at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')
    end as occurred_at,
    e.reopened_at,
    e.reopened_at is null as is_last,
    case
        when e.kind = 'hired' then 'hired'
        when e.reopened_at is null then a.status
        else coalesce(r.outcome, 'rejected')
    end as kind,
    case
        when e.kind <> 'hired'
            then coalesce(
                case when e.reopened_at is null then a.reason_group end, r.reason_group
            )
    end as reason_group
from dated as e
inner join known_applications as a on e.application_id = a.application_id
left join reasons as r on e.reason = r.id;

create temp table native_stages as
select
    id as stage_id,
    job_id,
    stage_of(name) as stage,
    try_cast(sort_order as double) as sort_order,
    coalesce(active, 'true') = 'true' as is_active
from job_interview_stages
where name is not null;

-- Stays in stages. Some have no time: then the row itself was made when the stay began,
-- unless it was made after the stay had ended, or together with the application's other
-- rows without a time. Such rows were filled in later, and tell nothing about when.
create temp table stays as
select
    v.id as visit_id,
    v.application_id,
    v.job_interview_stage_id as stage_id,
    coalesce(
        n.stage, case when a.stage_id = v.id then stage_of(a.stage_name) end, 'unmapped'
    ) as stage,
    n.sort_order,
    a.role_family,
    coalesce(
        v.entered_at,
        case
            when
                coalesce(
                    instant_of(v.created_at) <= instant_of(v.exited_at),
                    v.exited_at is null
                )
                and count(*) filter (v.entered_at is null) over (
                    partition by
                        v.application_id, date_trunc('minute', instant_of(v.created_at))
                ) = 1
                then v.created_at
        end
    ) as entered_at,
    v.exited_at,
    v.entered_at is not null as is_exact
from application_stages as v
inner join known_applications as a on v.application_id = a.application_id
left join native_stages as n on v.job_interview_stage_id = n.stage_id
-- Where no stage can be listed all would look the same.
where exists (select 1 from native_stages);

-- Native stages that are one stage of the funnel are one stay in it, if they follow
-- each other. Coming back to a stage is another stay.
create temp table visits as
with marked as (
    select
        *,
        row_number() over in_time as place,
        entered_at is null
        or stage is distinct from lag(stage) over in_time
        or stage_id is not distinct from lag(stage_id) over in_time as is_first
    from stays
    window in_time as (
        partition by application_id, entered_at is null
        order by instant_of(entered_at), try_cast(visit_id as bigint), visit_id
    )
),

numbered as (
    select
        *,
        count(*) filter (is_first) over (
            partition by application_id, entered_at is null
            order by place
            rows between unbounded preceding and current row
        ) as run
    from marked
)

select
    application_id,
    role_family,
    first(visit_id order by place) as visit_id,
    first(stage order by place) as stage,
    first(entered_at order by place) as entered_at,
    first(is_exact order by place) as is_exact,
    last(exited_at order by place) as exited_at
from numbered
group by application_id, role_family, entered_at is null, run;

-- Interviews that have a time. One of a whole day has its date only.
create temp table held as
select
    i.id as interview_id,
    i.application_id,
    round_of(coalesce(j.name, 'unmapped')) as round,
    i.created_at as requested_at,
    coalesce(i.starts_at, i.all_day_start_on) as scheduled_at,
    date_diff('second', instant_of(i.starts_at), instant_of(i.ends_at)) / 60.0
        as minutes,
    i.status,
    i.updated_at
from interviews as i
inner join known_applications as a on i.application_id = a.application_id
left join job_interviews as j on i.job_interview_id = j.id
where coalesce(i.starts_at, i.all_day_start_on) is not null;

-- What a kit asks to be rated: with other attributes it is another rubric.
create temp table kits as
with focus as (
    select distinct f.interview_kit_id, a.name
    from focus_candidate_attributes as f
    inner join job_candidate_attributes as a on f.job_candidate_attribute_id = a.id
)

select
    k.id as kit_id,
    any_value(j.name) as interview_name,
    case
        when exists (select 1 from focus)
            then left(md5(coalesce(string_agg(focus.name, chr(10) order by focus.name), '')), 12)
    end as version
from interview_kits as k
left join job_interviews as j on k.job_interview_id = j.id
left join focus on k.id = focus.interview_kit_id
group by k.id;

-- Cards that were submitted: drafts, and what waits for each interviewer, are none.
create temp table cards as
with of_interviews as (
    select
        p.scorecard_id,
        h.interview_id,
        h.round
    from interviewers as p
    inner join held as h on p.interview_id = h.interview_id
    where p.scorecard_id is not null
    qualify row_number() over (
        partition by p.scorecard_id order by h.scheduled_at desc, h.interview_id desc
    ) = 1
)

select
    s.id as scorecard_id,
    s.application_id,
    s.interviewer_id,
    coalesce(round_of(k.interview_name), i.round, round_of('unmapped')) as round,
    s.submitted_at,
    i.interview_id,
    s.interview_kit_id as rubric_id,
    k.version as rubric_version,
    s.candidate_rating as overall_rating,
    s.updated_at
from scorecards as s
inner join known_applications as a on s.application_id = a.application_id
left join kits as k on s.interview_kit_id = k.kit_id
left join of_interviews as i on s.id = i.scorecard_id
where s.submitted_at is not null and s.interviewer_id is not null;

-- People from outside the account have no id, and get none here.
create temp table panel as
select
    p.interview_id,
    p.user_id as interviewer_id,
    case
        when
            bool_and(coalesce(p.response_status, '') = 'declined')
            and count(c.scorecard_id) = 0
            then 'false'
    end as attended
from interviewers as p
inner join held as h on p.interview_id = h.interview_id
left join cards as c on p.scorecard_id = c.scorecard_id
where p.user_id is not null
group by p.interview_id, p.user_id;

-- entity: applications
select
    a.application_id,
    a.candidate_id,
    a.job_id,
    a.created_at as applied_at,
    a.status,
    case when a.status <> 'active' then coalesce(e.occurred_at, a.rejected_at) end
        as closed_at,
    a.reason_group as close_reason,
    s.name as source,
    a.recruiter_id,
    a.updated_at
from known_applications as a
left join endings as e on a.application_id = e.application_id and e.is_last
left join sources as s on a.source_id = s.id

-- entity: application_events
select
    application_id,
    occurred_at,
    kind,
    max(reason_group) as reason_group
from endings
where occurred_at is not null
group by all
union all
select
    application_id,
    reopened_at,
    case kind
        when 'hired' then 'unhired'
        when 'withdrawn' then 'reopened'
        else 'unrejected'
    end,
    null
from endings
where reopened_at is not null

-- entity: candidates
select
    c.id as candidate_id,
    c.name as full_name,
    c.email,
    c.created_at
from candidates as c
where c.id in (select a.candidate_id from known_applications as a)

-- entity: jobs
select
    j.id as job_id,
    coalesce(j.name, 'unnamed') as title,
    f.role_family,
    f.department,
    o.name as location,
    j.opened_at,
    case when j.status = 'closed' then j.closed_at end as closed_at
from jobs as j
inner join families as f on j.id = f.job_id
left join offices as o on o.id = from_json(j.office_ids, '["varchar"]')[1]

-- entity: openings
select
    opening_id,
    job_id,
    opened_at,
    case when is_filled then closed_at end as filled_at,
    closed_at,
    case
        when
            is_filled
            and application_id in (select a.application_id from known_applications as a)
            then application_id
    end as application_id
from seats
where job_id in (select f.job_id from families as f) and opened_at is not null

-- entity: hiring_team
select job_id, user_id as person_id, 'hiring_manager' as role
from job_hiring_managers
where job_id in (select f.job_id from families as f) and user_id is not null
union
select job_id, user_id, type
from job_owners
where
    job_id in (select f.job_id from families as f)
    and user_id is not null
    and type in ('recruiter', 'coordinator', 'sourcer')

-- entity: stages
with native as (
    select f.role_family, n.stage, n.stage_id, n.sort_order
    from native_stages as n
    inner join families as f on n.job_id = f.job_id
    where n.is_active
    union
    -- What applications went through, in stages that are gone by now.
    select role_family, stage, stage_id, sort_order
    from stays
),

rounds as (
    select
        f.role_family,
        n.stage,
        min(round_of(i.name)) as round
    from job_interviews as i
    inner join native_stages as n on i.job_interview_stage_id = n.stage_id
    inner join families as f on n.job_id = f.job_id
    where i.name is not null
    group by f.role_family, n.stage
    having count(distinct round_of(i.name)) = 1
),

grouped as (
    select role_family, stage, median(sort_order) as sort_order
    from native
    group by role_family, stage
)

select
    g.role_family,
    g.stage,
    row_number() over (
        partition by g.role_family order by g.sort_order nulls last, g.stage
    ) as "order",
    stage_group_of(g.stage) as stage_group,
    r.round
from grouped as g
left join rounds as r on g.role_family = r.role_family and g.stage = r.stage

-- entity: stage_events
select
    application_id,
    stage,
    entered_at,
    visit_id,
    exited_at,
    case
        when entered_at is null then 'missing'
        when is_exact then 'exact'
        else 'backfilled'
    end as entered_at_quality
from visits

-- entity: interviewers
with seen as (
    select interviewer_id from panel
    union
    select interviewer_id from cards
),

tagged as (
    select
        u.id,
        unnest(from_json(u.interviewer_tags, '["varchar"]')) as tag
    from users as u
    where json_array_length(u.interviewer_tags) > 0
),

bar_raisers as (
    select distinct tagged.id
    from tagged
    left join interviewer_tags as t on tagged.tag = t.id
    where
        regexp_replace(lower(coalesce(t.name, tagged.tag)), '[^a-z]', '', 'g')
        like '%barraiser%'
)

select
    s.interviewer_id,
    u.name as full_name,
    d.name as department,
    case when u.interviewer_tags is not null then b.id is not null end as is_bar_raiser,
    case when u.id is not null then coalesce(u.deactivated, 'false') <> 'true' end
        as is_active
from seen as s
left join users as u on s.interviewer_id = u.id
left join departments as d on d.id = from_json(u.department_ids, '["varchar"]')[1]
left join bar_raisers as b on u.id = b.id

-- entity: interviews
select
    interview_id,
    application_id,
    round,
    requested_at,
    scheduled_at,
    case when minutes between 0 and 1440 then minutes end as duration_minutes,
    case
        when status in ('to_be_scheduled', 'scheduled', 'to_be_sent', 'sent')
            then 'scheduled'
        when status in ('awaiting_feedback', 'collect_feedback', 'received', 'complete')
            then 'completed'
        when status = 'skipped' then 'cancelled'
        else 'unmapped'
    end as status,
    updated_at
from held

-- entity: interview_panel
select
    interview_id,
    interviewer_id,
    attended
from panel

-- entity: scorecards
select
    scorecard_id,
    application_id,
    interviewer_id,
    round,
    submitted_at,
    interview_id,
    rubric_id,
    rubric_version,
    overall_rating,
    'false' as is_draft,
    updated_at
from cards

-- entity: ratings
with rated as (
    select
        r.id,
        r.scorecard_id,
        a.name,
        competency_of(a.name) as competency,
        r.candidate_attribute_rating as rating,
        r.has_note,
        coalesce(r.updated_at, c.updated_at) as updated_at,
        c.submitted_at
    from scorecard_candidate_attributes as r
    inner join cards as c on r.scorecard_id = c.scorecard_id
    inner join job_candidate_attributes as a on r.job_candidate_attribute_id = a.id
    where a.name is not null
)

select
    scorecard_id,
    competency,
    -- Attributes that are one competency are two questions about it, not a conflict.
    case
        when count(*) over (partition by scorecard_id, name) > 1 then name || ' #' || id
        when count(*) over (partition by scorecard_id, competency) > 1 then name
    end as question_id,
    updated_at,
    rating,
    submitted_at as rated_at,
    has_note as has_evidence
from rated

-- entity: offers
select
    offer_id,
    version,
    application_id,
    extended_at,
    status,
    resolved_at,
    starts_on,
    updated_at
from sent_offers
where extended_at is not null

-- entity: demographics
with forms as (
    unpivot (
        select
            e.application_id,
            coalesce(e.gender, '') as sex,
            coalesce(e.race, '') as race_ethnicity,
            coalesce(e.veteran_status, '') as veteran,
            coalesce(e.disability_status, '') as disability
        from eeoc as e
    )
    on sex, race_ethnicity, veteran, disability
    into name attribute value answer
),

questions as (
    select
        id as question_id,
        demographic_question_set_id as set_id,
        coalesce(active, 'true') = 'true' as is_active,
        attribute
    from demographic_questions
),

answers as (
    select
        d.application_id,
        q.question_id,
        q.set_id,
        q.attribute,
        o.name as answer,
        coalesce(o.decline_to_answer, 'false') = 'true' as is_declined
    from demographic_answers as d
    inner join questions as q on d.demographic_question_id = q.question_id
    left join demographic_answer_options as o on d.demographic_answer_option_id = o.id
),

-- Who answered a question of a set was asked all of it.
asked as (
    select distinct a.application_id, q.question_id, q.attribute
    from answers as a
    inner join questions as q on a.set_id = q.set_id
    where q.is_active or a.question_id = q.question_id
),

-- Several answers to one question are one value.
surveyed as (
    select
        k.application_id,
        k.attribute,
        case
            when bool_or(a.is_declined) then 'declined'
            else coalesce(string_agg(distinct trim(a.answer), '; ' order by trim(a.answer)), '')
        end as answer
    from asked as k
    left join answers as a
        on k.application_id = a.application_id and k.question_id = a.question_id
    where k.attribute is not null
    group by k.application_id, k.attribute, k.question_id
),

given as (
    select application_id, attribute, answer, 1 as rank
    from forms
    union all
    select application_id, attribute, answer, 2
    from surveyed
),

worded as (
    select
        application_id,
        attribute,
        rank,
        coalesce(
            undisclosed(answer),
            case
                -- The spelling of other forms and sources, so that they are one group.
                when attribute = 'sex'
                    then case lower(trim(answer))
                        when 'woman' then 'female'
                        when 'man' then 'male'
                        else lower(trim(answer))
                    end
                else trim(answer)
            end
        ) as value
    from given
)

select
    w.application_id,
    w.attribute,
    w.value
from worded as w
inner join known_applications as a on w.application_id = a.application_id
qualify row_number() over (
    partition by w.application_id, w.attribute
    order by
        case w.value when 'unanswered' then 3 when 'declined' then 2 else 1 end,
        w.rank,
        w.value
) = 1
