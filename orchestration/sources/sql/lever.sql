-- Lever's opportunities to the landing contract. An opportunity is an application: a
-- contact may have several. Times are milliseconds since 1970. What several entities
-- rest on is made once, as a table.

-- Labels that an account makes up for itself, as one word.
create macro slug(label) as
    nullif(trim(regexp_replace(lower(label), '[^\p{L}\p{N}]+', '_', 'g'), '_'), '');

-- Reasons of type `hired` are hires. The others are the company's, unless their text
-- says that the candidate left: withdrew, declined, took another offer, was no longer
-- interested or did not reply.
create temp table reasons as
select
    id,
    case
        when type = 'hired' then 'hired'
        when type is distinct from 'non-hired' then 'rejected'
        when regexp_matches(
            lower(text),
            '^(we|company|position|role|job|requisition) |(another|other) candidate'
            || '|offer (was )?(withdrawn|rescinded)|(declined|withdrawn) by'
        ) and not regexp_matches(lower(text), 'by (the )?(candidate|applicant)')
            then 'rejected'
        when regexp_matches(
            lower(text),
            'withdr[ae]w|declined|(accept|took|chose|other|another)[a-z ]* offer'
            || '|not? (longer )?interested|unresponsive|no show|ghosted'
        ) then 'withdrawn'
        else 'rejected'
    end as outcome,
    case when type in ('hired', 'non-hired') then slug(text) else 'unmapped' end
        as reason_group
from archive_reasons;

-- An opportunity holds one application at most; one added again is the newer.
create temp table applied as
select parent as opportunity_id, posting, requisition
from applications
qualify row_number() over (
    partition by parent order by try_cast(createdAt as bigint) desc nulls last, id desc
) = 1;

create temp table families as
select
    id as posting_id,
    coalesce(family_of(coalesce(department, team)), default_family()) as role_family
from postings;

create temp table opportunity as
select
    o.id,
    coalesce(o.contact, o.id) as candidate_id,
    o.name,
    o.email,
    o.createdAt,
    o.updatedAt,
    o.lastAdvancedAt,
    o.stage,
    o.stageChanges,
    o.archivedAt,
    o.archivings,
    o.owner,
    o.origin,
    coalesce(try_cast(o.isAnonymized as boolean), false) as is_anonymized,
    a.posting,
    a.requisition,
    case
        when o.archivedAt is null then 'active'
        else coalesce(r.outcome, 'rejected')
    end as status,
    case when o.archivedAt is not null then coalesce(r.reason_group, 'unmapped') end
        as close_reason,
    -- Where no job is known, the family that applications without a job get later.
    coalesce(
        f.role_family,
        case when default_family() = 'all roles' then 'unspecified' else default_family() end
    ) as role_family
from opportunities as o
left join applied as a on o.id = a.opportunity_id
left join families as f on a.posting = f.posting_id
left join reasons as r on o.archiveReason = r.id
where try_cast(o.createdAt as bigint) is not null;

create temp table stage_names as
select id, coalesce(stage_of(text), 'unmapped') as stage
from stages;

-- Moves as the service recorded them; one without a time keeps its place in the list.
create temp table moves as
with unnested as (
    select
        id as opportunity_id,
        unnest(from_json(
            stageChanges,
            '[{"toStageId": "varchar", "toStageIndex": "double", "updatedAt": "bigint"}]'
        )) as move,
        generate_subscripts(from_json(stageChanges, '["json"]'), 1) as place
    from opportunity
    -- What is left of the stages of an anonymised person is no history.
    where not is_anonymized and json_array_length(stageChanges) > 0
)
select
    opportunity_id,
    place,
    move.toStageId as stage_id,
    move.toStageIndex as stage_index,
    move.updatedAt as entered_ms,
    'exact' as quality
from unnested
union all
-- Some lists leave the moves out: then only the stage of today is known.
select
    id,
    1,
    stage,
    null,
    coalesce(try_cast(lastAdvancedAt as bigint), try_cast(createdAt as bigint)),
    'backfilled'
from opportunity
where
    not is_anonymized
    and stage is not null
    and coalesce(json_array_length(stageChanges), 0) = 0;

create temp table named_moves as
select m.*, coalesce(n.stage, 'unmapped') as stage
from moves as m
left join stage_names as n on m.stage_id = n.id;

-- Native stages that are one stage of the funnel are one stay in it. Coming back later,
-- or from a later stage, is another.
create temp table visits as
with starts as (
    select *
    from named_moves
    qualify
        entered_ms is null
        or stage is distinct from lag(stage) over (
            partition by opportunity_id, entered_ms is null
            order by entered_ms, place
        )
)
select
    s.opportunity_id,
    s.stage,
    s.entered_ms,
    s.quality,
    s.opportunity_id || '/' || s.stage_id || '/'
    || coalesce(cast(s.entered_ms as varchar), 'undated-' || s.place) as visit_id,
    case
        when s.entered_ms is not null
            then coalesce(
                lead(s.entered_ms) over (
                    partition by s.opportunity_id, s.entered_ms is null
                    order by s.entered_ms, s.place
                ),
                case
                    when try_cast(o.archivedAt as bigint) >= s.entered_ms
                        then try_cast(o.archivedAt as bigint)
                end
            )
    end as exited_ms
from starts as s
inner join opportunity as o on s.opportunity_id = o.id;

-- The form of an interview names its round; subjects hold names of candidates.
create temp table held as
select
    i.id,
    i.parent as opportunity_id,
    i.stage,
    i.interviewers,
    round_of(coalesce(t.text, s.text, 'unmapped')) as round,
    -- Milliseconds are an instant; a day alone begins in the zone it was planned in.
    case
        when try_cast(i.date as bigint) is not null then iso_of_ms(i.date)
        else strftime(
            timezone(coalesce(z.name, 'UTC'), try_cast(i.date as timestamp)),
            '%Y-%m-%dT%H:%M:%S.%gZ'
        )
    end as scheduled_at,
    iso_of_ms(i.createdAt) as requested_at,
    case
        when try_cast(i.duration as double) between 0 and 1440 then i.duration
    end as duration_minutes,
    coalesce(i.canceledAt, p.canceledAt) is not null as is_cancelled
from interviews as i
inner join opportunity as o on i.parent = o.id
left join panels as p on i.panel = p.id
left join feedback_templates as t on i.feedbackTemplate = t.id
left join stages as s on i.stage = s.id
left join pg_timezone_names() as z on i.timezone = z.name
where i.date is not null;

create temp table panel as
select
    id as interview_id,
    unnest(from_json(interviewers, '["varchar"]')) as interviewer_id
from held
where scheduled_at is not null;

create temp table cards as
select
    f.id,
    f.parent as opportunity_id,
    f."user",
    i.id as interview_id,
    f.baseTemplateId as rubric_id,
    case when f.baseTemplateId is not null then f.rubricVersion end as rubric_version,
    round_of(coalesce(t.text, f.text, 'unmapped')) as round,
    f.overall,
    f.scores,
    iso_of_ms(f.completedAt) as submitted_at,
    iso_of_ms(coalesce(f.updatedAt, f.completedAt)) as updated_at
from feedback as f
inner join opportunity as o on f.parent = o.id
left join held as i on f.interview = i.id and i.scheduled_at is not null
left join feedback_templates as t on f.baseTemplateId = t.id
where f.completedAt is not null and f."user" is not null and not o.is_anonymized;

create temp table sent_offers as
select
    f.id,
    f.parent as opportunity_id,
    -- Drafts and approvals are no offer yet. A denied one that was never sent was
    -- denied inside the company.
    case
        when f.status in ('sent', 'sent-manually', 'opened') then 'pending'
        when f.status = 'signed' then 'accepted'
        when f.status = 'denied' and f.sentAt is not null then 'declined'
    end as status,
    -- One that was handed over by hand has no time of sending.
    try_cast(coalesce(f.sentAt, f.approvedAt, f.createdAt) as bigint) as extended_ms,
    try_cast(f.signedAt as bigint) as signed_ms,
    f.startsAt
from offers as f
inner join opportunity as o on f.parent = o.id;

-- An answer to the EEO survey; sex in the spelling of other sources, as one group.
create macro self_identified(attribute, answer) as coalesce(
    undisclosed(answer),
    case when attribute = 'sex' then lower(trim(answer)) else trim(answer) end
);

-- entity: applications
select
    id as application_id,
    candidate_id,
    posting as job_id,
    iso_of_ms(createdAt) as applied_at,
    status,
    iso_of_ms(archivedAt) as closed_at,
    close_reason,
    -- Not `sources`: those are typed in by hand and may name a person.
    origin as source,
    owner as recruiter_id,
    iso_of_ms(updatedAt) as updated_at
from opportunity

-- entity: application_events
with endings as (
    select
        id as application_id,
        unnest(from_json(
            archivings,
            '[{"archivedAt": "bigint", "reason": "varchar", "reopenedAt": "bigint"}]'
        )) as archiving
    from opportunity
    where json_array_length(archivings) > 0
),

named as (
    select
        e.application_id,
        e.archiving.archivedAt as archived_ms,
        e.archiving.reopenedAt as reopened_ms,
        coalesce(r.outcome, 'rejected') as outcome,
        coalesce(r.reason_group, 'unmapped') as reason_group
    from endings as e
    left join reasons as r on e.archiving.reason = r.id
)

select
    application_id,
    iso_of_ms(archived_ms) as occurred_at,
    outcome as kind,
    reason_group
from named
union all
select
    application_id,
    iso_of_ms(reopened_ms),
    case when outcome = 'hired' then 'unhired' else 'reopened' end,
    null
from named
where reopened_ms is not null

-- entity: candidates
select
    candidate_id,
    -- A person who was anonymised once is so in all of their opportunities.
    case when not bool_or(is_anonymized) then arg_max(name, (cast(createdAt as bigint), id)) end
        as full_name,
    case when not bool_or(is_anonymized) then arg_max(email, (cast(createdAt as bigint), id)) end
        as email,
    iso_of_ms(min(cast(createdAt as bigint))) as created_at
from opportunity
group by candidate_id

-- entity: jobs
select
    p.id as job_id,
    coalesce(p.text, 'unmapped') as title,
    f.role_family,
    p.department,
    p.team,
    p.level,
    p.location,
    iso_of_ms(p.createdAt) as opened_at
from postings as p
inner join families as f on p.id = f.posting_id

-- entity: openings
with hires as (
    select
        requisition,
        id as application_id,
        posting,
        archivedAt,
        row_number() over (
            partition by requisition order by cast(archivedAt as bigint), id
        ) as seat
    from opportunity
    where status = 'hired' and requisition is not null
),

-- A requisition for several people is as many openings; hires beyond it are some too.
seats as (
    select
        r.id,
        r.posting,
        r.createdAt,
        r.closedAt,
        unnest(range(
            1,
            1 + greatest(
                coalesce(try_cast(r.headcountTotal as bigint), 1),
                (select count(*) from hires as h where h.requisition = r.id)
            )
        )) as seat
    from requisitions as r
    where r.status is distinct from 'draft'
)

select
    s.id || '/' || s.seat as opening_id,
    coalesce(h.posting, s.posting) as job_id,
    iso_of_ms(s.createdAt) as opened_at,
    iso_of_ms(h.archivedAt) as filled_at,
    iso_of_ms(case when h.archivedAt is null then s.closedAt end) as closed_at,
    h.application_id
from seats as s
left join hires as h on s.id = h.requisition and s.seat = h.seat
where coalesce(h.posting, s.posting) is not null and s.createdAt is not null

-- entity: hiring_team
select id as job_id, owner as person_id, 'recruiter' as role
from postings
where owner is not null
union all
select id, hiringManager, 'hiring_manager'
from postings
where hiringManager is not null

-- entity: stages
with indexes as (
    select stage, median(stage_index) as stage_index
    from named_moves
    group by stage
),

rounds as (
    select o.role_family, n.stage, min(h.round) as round
    from held as h
    inner join opportunity as o on h.opportunity_id = o.id
    inner join stage_names as n on h.stage = n.id
    group by o.role_family, n.stage
    having count(distinct h.round) = 1
),

reached as (
    select distinct o.role_family, v.stage
    from visits as v
    inner join opportunity as o on v.opportunity_id = o.id
)

select
    e.role_family,
    e.stage,
    -- Stages have no order of their own: what a move recorded tells it.
    row_number() over (
        partition by e.role_family order by i.stage_index nulls last, e.stage
    ) as "order",
    stage_group_of(e.stage) as stage_group,
    r.round
from reached as e
left join indexes as i on e.stage = i.stage
left join rounds as r on e.role_family = r.role_family and e.stage = r.stage

-- entity: stage_events
select
    opportunity_id as application_id,
    stage,
    iso_of_ms(entered_ms) as entered_at,
    visit_id,
    iso_of_ms(exited_ms) as exited_at,
    case when entered_ms is null then 'missing' else quality end as entered_at_quality
from visits

-- entity: interviewers
with seen as (
    select interviewer_id from panel
    union
    select "user" from cards
)

select
    s.interviewer_id,
    u.name as full_name,
    case when u.id is not null then u.deactivatedAt is null end as is_active
from seen as s
left join users as u on s.interviewer_id = u.id

-- entity: interviews
select
    h.id as interview_id,
    h.opportunity_id as application_id,
    h.round,
    h.requested_at,
    h.scheduled_at,
    h.duration_minutes,
    case
        when h.is_cancelled then 'cancelled'
        when h.id in (select c.interview_id from cards as c where c.interview_id is not null)
            then 'completed'
        else 'scheduled'
    end as status
from held as h
where h.scheduled_at is not null

-- entity: interview_panel
select interview_id, interviewer_id
from panel

-- entity: scorecards
select
    id as scorecard_id,
    opportunity_id as application_id,
    "user" as interviewer_id,
    round,
    submitted_at,
    interview_id,
    rubric_id,
    rubric_version,
    overall as overall_rating,
    false as is_draft,
    updated_at
from cards

-- entity: ratings
with unnested as (
    select
        id,
        submitted_at,
        updated_at,
        unnest(from_json(
            scores,
            '[{"competency": "varchar", "rating": "varchar", "hasEvidence": "boolean"}]'
        )) as score,
        generate_subscripts(from_json(scores, '["json"]'), 1) as place
    from cards
    where json_array_length(scores) > 0
),

rated as (
    select *, competency_of(score.competency) as competency
    from unnested
)

select
    id as scorecard_id,
    competency,
    -- A competency that a form asks for twice is two questions, not a conflict.
    case
        when count(*) over (partition by id, competency) > 1
            then score.competency || ' #' || place
    end as question_id,
    updated_at,
    score.rating as rating,
    submitted_at as rated_at,
    score.hasEvidence as has_evidence
from rated

-- entity: offers
select
    id as offer_id,
    opportunity_id as application_id,
    iso_of_ms(extended_ms) as extended_at,
    status,
    iso_of_ms(case when status = 'accepted' and signed_ms >= extended_ms then signed_ms end)
        as resolved_at,
    strftime(
        coalesce(
            make_timestamp(try_cast(startsAt as bigint) * 1000),
            try_cast(startsAt as timestamp)
        ),
        '%Y-%m-%d'
    ) as starts_on
from sent_offers
where status is not null and extended_ms is not null

-- entity: demographics
with answers as (
    unpivot (
        select
            e.id as application_id,
            coalesce(e.gender, '') as sex,
            coalesce(e.race, '') as race_ethnicity,
            coalesce(e.veteran, '') as veteran,
            coalesce(e.disability, '') as disability
        from eeo_responses as e
        inner join opportunity as o on e.id = o.id
        where not o.is_anonymized
    )
    on sex, race_ethnicity, veteran, disability
    into name attribute value answer
)

select
    application_id,
    attribute,
    self_identified(attribute, answer) as value
from answers

-- entity: demographic_counts
with counts as (
    select unnest(from_json(
        cells,
        '[{"period": "varchar", "attribute": "varchar", "value": "varchar",'
        || ' "entered": "bigint", "advanced": "bigint", "open": "bigint"}]'
    )) as cell
    from eeo_counts
)

select
    'overall' as stage,
    cell.attribute as attribute,
    -- Several spellings may be one group.
    self_identified(cell.attribute, cell.value) as value,
    cell.period as period,
    sum(cell.entered) as entered,
    sum(cell.advanced) as advanced,
    sum(cell.open) as open
from counts
group by all
