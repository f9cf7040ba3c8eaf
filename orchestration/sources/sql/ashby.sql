-- Ashby to the landing contract. Relations are named for Ashby's lists.

-- An instant as every entity writes it.
create macro if not exists iso(instant) as
    strftime(instant at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ');

create macro if not exists instant_of(written) as try_cast(written as timestamptz);

-- A reason as a short name: 'Job closed' is job_closed, as the policy's lists spell it.
create macro if not exists slug(label) as
    nullif(trim(regexp_replace(lower(label), '[^a-z0-9]+', '_', 'g'), '_'), '');

create macro if not exists letters(label) as
    regexp_replace(lower(coalesce(label, '')), '[^a-z]', '', 'g');

-- Stages of the plans; those that an application stands in where plans are not listed.
create table if not exists native_stages as
with listed as (
    select
        stage.id as stage_id,
        stage.parent as plan_id,
        stage.title,
        coalesce(stage.type, stage_group.stageType) as type,
        try_cast(stage.orderInInterviewPlan as integer) as plan_order,
        try_cast(stage_group."order" as integer) as group_order
    from "interviewStage.list" as stage
    left join "interviewStageGroup.list" as stage_group
        on stage.interviewStageGroupId = stage_group.id
),

current as (
    select
        currentInterviewStage ->> 'id' as stage_id,
        null as plan_id,
        max(currentInterviewStage ->> 'title') as title,
        max(currentInterviewStage ->> 'type') as type,
        max(try_cast(currentInterviewStage ->> 'orderInInterviewPlan' as integer))
            as plan_order,
        null as group_order
    from "application.list"
    where currentInterviewStage ->> 'id' is not null
    group by 1
)

select * from listed
union all
select * from current
where stage_id not in (select stage_id from listed);

-- Applications of people who applied: leads have not. A status that is not known here
-- is told by the stage; where that is unknown too, the application is left out.
create table if not exists known_applications as
with told as (
    select
        *,
        case
            when status in ('Active', 'Hired', 'Archived', 'Lead') then status
            else case currentInterviewStage ->> 'type'
                when 'Hired' then 'Hired'
                when 'Archived' then 'Archived'
                when 'Active' then 'Active'
                when 'Offer' then 'Active'
                when 'PreInterviewScreen' then 'Active'
            end
        end as told_status
    from "application.list"
)

select
    told.id as application_id,
    candidate ->> 'id' as candidate_id,
    candidate ->> 'name' as full_name,
    candidate -> 'primaryEmailAddress' ->> 'value' as email,
    job ->> 'id' as job_id,
    job ->> 'title' as job_title,
    job ->> 'departmentId' as department_id,
    told.source ->> 'title' as source_title,
    hiringTeam as hiring_team,
    told_status as status,
    createdAt as created_at,
    updatedAt as updated_at,
    archivedAt as archived_at,
    case when told_status = 'Archived' then archiveReason ->> 'id' end as reason_id,
    slug(coalesce(reason.text, archiveReason ->> 'text')) as reason_group,
    coalesce(reason.reasonType, archiveReason ->> 'reasonType') as reason_type
from told
left join "archiveReason.list" as reason on reason.id = told.archiveReason ->> 'id'
where
    told_status in ('Active', 'Hired', 'Archived')
    and candidate ->> 'id' is not null
    and createdAt is not null;

-- Every stay in a stage, Ashby's outcomes (Archived) and leads among them.
create table if not exists visits as
select
    history.id as visit_id,
    history.parent as application_id,
    coalesce(history.title, stage.title) as title,
    history.stageId as stage_id,
    coalesce(
        stage.type,
        case letters(history.title)
            when 'archived' then 'Archived'
            when 'hired' then 'Hired'
            when 'offer' then 'Offer'
            when 'lead' then 'Lead'
            when 'newlead' then 'Lead'
            when 'applicationreview' then 'PreInterviewScreen'
            else 'Active'
        end
    ) as type,
    coalesce(stage.plan_order, try_cast(history.stageNumber as integer)) as plan_order,
    stage.group_order,
    history.enteredStageAt as entered_at,
    history.leftStageAt as left_at
from "application.listHistory" as history
inner join known_applications
    on history.parent = known_applications.application_id
left join (
    select
        stage_id,
        max(title) as title,
        max(type) as type,
        max(plan_order) as plan_order,
        max(group_order) as group_order
    from native_stages
    group by stage_id
) as stage
    on history.stageId = stage.stage_id
where coalesce(history.title, stage.title) is not null;

-- Jobs of the list; those that only an application names where it cannot be read.
create table if not exists known_jobs as
with listed as (
    select
        id as job_id,
        title,
        departmentId as department_id,
        openedAt as opened_at,
        closedAt as closed_at,
        list_distinct(list_filter(
            list_append(
                coalesce(cast(interviewPlanIds as varchar[]), []), defaultInterviewPlanId
            ),
            lambda plan: plan is not null
        )) as plans
    from "job.list"
),

named as (
    select
        job_id,
        max(job_title) as title,
        max(department_id) as department_id,
        null as opened_at,
        null as closed_at,
        [] as plans
    from known_applications
    where job_id is not null and job_id not in (select job_id from listed)
    group by job_id
),

jobs as (
    select * from listed
    union all
    select * from named
)

select
    jobs.job_id,
    coalesce(jobs.title, 'unnamed') as title,
    coalesce(family_of(department.name), default_family()) as role_family,
    department.name as department,
    jobs.opened_at,
    jobs.closed_at,
    jobs.plans
from jobs
left join "department.list" as department on jobs.department_id = department.id;

-- One row per interview event; an event that moved belongs to its newest schedule.
create table if not exists events as
select
    event ->> 'id' as interview_id,
    schedule.applicationId as application_id,
    round_of(coalesce(interview.title, stage.title, 'unspecified')) as round,
    stage.title as stage_title,
    event ->> 'startTime' as started_at,
    event ->> 'endTime' as ended_at,
    schedule.status,
    schedule.createdAt as requested_at,
    coalesce(event ->> 'updatedAt', schedule.updatedAt) as updated_at,
    event -> 'interviewers' as interviewers,
    event -> 'interviewerUserIds' as user_ids
from (
    select
        *,
        unnest(cast(interviewEvents as json[])) as event
    from "interviewSchedule.list"
) as schedule
inner join known_applications
    on schedule.applicationId = known_applications.application_id
left join "interview.list" as interview on interview.id = event ->> 'interviewId'
left join (
    select
        stage_id,
        max(title) as title
    from native_stages
    group by stage_id
) as stage
    on schedule.interviewStageId = stage.stage_id
where event ->> 'id' is not null and event ->> 'startTime' is not null
qualify row_number() over (
    partition by event ->> 'id' order by schedule.updatedAt desc, schedule.id desc
) = 1;

-- Who sat in an interview. Guests from outside have no id at Ashby, and get none here.
create table if not exists panel as
with listed as (
    select
        interview_id,
        status,
        unnest(cast(interviewers as json[])) as interviewer
    from events
),

sat as (
    select
        interview_id,
        status,
        interviewer ->> 'id' as interviewer_id,
        letters(interviewer ->> 'trainingRole') as training
    from listed
    union all
    select
        interview_id,
        status,
        unnest(cast(user_ids as varchar[])) as interviewer_id,
        '' as training
    from events
    where coalesce(json_array_length(interviewers), 0) = 0
)

select
    interview_id,
    interviewer_id,
    -- Where a person is listed twice, the training is what is told.
    max(case
        when training = 'shadow' then 'shadow'
        when training = 'reverseshadow' then 'reverse_shadow'
        when training in ('', 'trained', 'interviewer', 'none') then 'panel'
    end) as panel_role,
    case when any_value(status) = 'Cancelled' then 'false' end as attended
from sat
where interviewer_id is not null
group by interview_id, interviewer_id;

-- Cards that were submitted, by a person whom Ashby knows.
create table if not exists cards as
select
    card.id as scorecard_id,
    card.applicationId as application_id,
    card.submittedByUser ->> 'id' as interviewer_id,
    coalesce(
        events.round, round_of(coalesce(interview.title, visits.title, 'unspecified'))
    ) as round,
    card.submittedAt as submitted_at,
    events.interview_id,
    card.feedbackFormDefinitionId as rubric_id,
    card.formVersion as rubric_version,
    card.overall as overall_rating,
    panel.panel_role,
    card.ratings
from "applicationFeedback.list" as card
inner join known_applications
    on card.applicationId = known_applications.application_id
left join events on card.interviewEventId = events.interview_id
left join "interview.list" as interview on card.interviewId = interview.id
left join visits on card.applicationHistoryId = visits.visit_id
left join panel
    on
        events.interview_id = panel.interview_id
        and panel.interviewer_id = card.submittedByUser ->> 'id'
where card.submittedAt is not null and card.submittedByUser ->> 'id' is not null;

-- Versions of offers that were extended: one that waits for approval was not.
create table if not exists offer_versions as
with versions as (
    select
        id as offer_id,
        applicationId as application_id,
        latestVersion as version,
        true as is_latest,
        acceptanceStatus,
        offerStatus,
        decidedAt as decided_at
    from "offer.list"
    union all
    select
        offer_id,
        application_id,
        version,
        false as is_latest,
        acceptanceStatus,
        offerStatus,
        decided_at
    from (
        select
            id as offer_id,
            applicationId as application_id,
            unnest(cast(versions as json[])) as version,
            latestVersion ->> 'id' as latest_id,
            acceptanceStatus,
            offerStatus,
            decidedAt as decided_at
        from "offer.list"
    )
    where version ->> 'id' <> latest_id
),

told as (
    select
        offer_id,
        application_id,
        version ->> 'id' as version,
        version ->> 'openingId' as opening_id,
        version ->> 'createdAt' as extended_at,
        left(version ->> 'startDate', 10) as starts_on,
        is_latest,
        decided_at,
        lead(version ->> 'createdAt') over (
            partition by offer_id order by version ->> 'createdAt' asc, is_latest asc
        ) as replaced_at,
        coalesce(
            case acceptanceStatus
                when 'Accepted' then 'accepted'
                when 'Declined' then 'declined'
                when 'Cancelled' then 'rescinded'
            end,
            case offerStatus
                when 'CandidateAccepted' then 'accepted'
                when 'CandidateRejected' then 'declined'
                when 'OfferCancelled' then 'rescinded'
                when 'WaitingOnCandidateResponse' then 'pending'
                when 'WaitingOnApprovalStart' then 'not extended'
                when 'WaitingOnOfferApproval' then 'not extended'
                when 'WaitingOnApprovalDefinition' then 'not extended'
            end,
            case acceptanceStatus when 'WaitingOnResponse' then 'pending' end
        ) as told_status
    from versions
    inner join known_applications using (application_id)
    where coalesce(version ->> 'approvalStatus', 'Approved') = 'Approved'
)

select
    * exclude (told_status),
    -- A version that another one replaced was taken back by it.
    case when is_latest then told_status else 'rescinded' end as status
from told
where
    extended_at is not null
    and (not is_latest or told_status in ('accepted', 'declined', 'rescinded', 'pending'));

-- What ended an application, and what undid that. Ashby keeps the reason of the last
-- archiving only; an earlier one counts as a rejection for a reason that is not known.
create table if not exists outcomes as
with archived as (
    select
        visits.application_id,
        coalesce(
            visits.entered_at,
            case when visits.left_at is null then application.archived_at end
        ) as occurred_at,
        visits.left_at,
        visits.left_at is null and application.status = 'Archived' as is_last
    from visits
    inner join known_applications as application using (application_id)
    where visits.type = 'Archived'
    union all
    -- The history may not be there yet, or may have been edited.
    select
        application_id,
        archived_at as occurred_at,
        null as left_at,
        true as is_last
    from known_applications
    where
        status = 'Archived'
        and application_id not in (
            select application_id from visits
            where type = 'Archived' and left_at is null
        )
),

archivings as (
    select
        archived.*,
        case
            when is_last and application.reason_type = 'RejectedByCandidate'
                then 'withdrawn'
            else 'rejected'
        end as kind,
        case when is_last then application.reason_group else 'unknown' end
            as reason_group
    from archived
    inner join known_applications as application using (application_id)
),

hirings as (
    select
        application_id,
        entered_at as occurred_at,
        left_at
    from visits
    where type = 'Hired'
    union all
    select
        application.application_id,
        coalesce(max(offer.decided_at), application.updated_at) as occurred_at,
        null as left_at
    from known_applications as application
    left join offer_versions as offer
        on
            application.application_id = offer.application_id
            and offer.status = 'accepted'
    where
        application.status = 'Hired'
        and application.application_id not in (
            select application_id from visits
            where type = 'Hired' and left_at is null
        )
    group by application.application_id, application.updated_at
),

endings as (
    select
        application_id,
        instant_of(occurred_at) as occurred_at,
        kind,
        reason_group
    from archivings
    union all
    select
        application_id,
        instant_of(occurred_at) as occurred_at,
        'hired' as kind,
        null as reason_group
    from hirings
),

reversals as (
    select
        application_id,
        instant_of(left_at) as occurred_at,
        case kind when 'withdrawn' then 'reopened' else 'unrejected' end as kind
    from archivings
    where left_at is not null
    union all
    select
        application_id,
        instant_of(left_at) as occurred_at,
        'unhired' as kind
    from hirings
    where left_at is not null
),

-- What ends at the instant at which it is undone (hired, then archived) would have no
-- order: the undoing comes a millisecond before what follows it.
ordered_reversals as (
    select
        reversals.application_id,
        case
            when endings.application_id is not null
                then reversals.occurred_at - interval 1 millisecond
            else reversals.occurred_at
        end as occurred_at,
        reversals.kind
    from reversals
    left join (select distinct application_id, occurred_at from endings) as endings
        on
            reversals.application_id = endings.application_id
            and reversals.occurred_at = endings.occurred_at
)

select * from endings
where occurred_at is not null
union all
select
    application_id,
    occurred_at,
    kind,
    null as reason_group
from ordered_reversals
where occurred_at is not null;

-- Words that this translation does not know, for the report of the sync.
create table if not exists unmapped as
with words as (
    select
        'status of an application' as what,
        status as word
    from "application.list"
    where status not in ('Active', 'Hired', 'Archived', 'Lead')
    union all
    select
        'type of an archive reason' as what,
        reason_type as word
    from known_applications
    where
        status = 'Archived'
        and reason_type not in ('RejectedByCandidate', 'RejectedByOrg', 'Other')
    union all
    select
        'type of a stage' as what,
        type as word
    from native_stages
    where
        type not in ('Lead', 'PreInterviewScreen', 'Active', 'Offer', 'Hired', 'Archived')
    union all
    select
        'training role of an interviewer' as what,
        interviewer ->> 'trainingRole' as word
    from (select unnest(cast(interviewers as json[])) as interviewer from events)
    where
        letters(interviewer ->> 'trainingRole')
        not in ('', 'trained', 'interviewer', 'none', 'shadow', 'reverseshadow')
    union all
    select
        'acceptance status of an offer' as what,
        acceptanceStatus as word
    from "offer.list"
    where
        acceptanceStatus not in (
            'Accepted', 'Declined', 'Pending', 'Created', 'Cancelled',
            'WaitingOnResponse'
        )
    union all
    select
        'status of an offer' as what,
        offerStatus as word
    from "offer.list"
    where
        offerStatus not in (
            'WaitingOnApprovalStart', 'WaitingOnOfferApproval',
            'WaitingOnApprovalDefinition', 'WaitingOnCandidateResponse',
            'CandidateRejected', 'CandidateAccepted', 'OfferCancelled'
        )
    union all
    select
        'card of a person without an Ashby account' as what,
        '' as word
    from "applicationFeedback.list"
    where submittedAt is not null and submittedByUser ->> 'id' is null
)

select
    what,
    word,
    count(*) as n
from words
group by what, word;

-- entity: applications
select
    application.application_id,
    application.candidate_id,
    application.job_id,
    -- A lead was sourced when it was created, and applied when it left the leads.
    coalesce(arrival.applied_at, application.created_at) as applied_at,
    case application.status
        when 'Active' then 'active'
        when 'Hired' then 'hired'
        when 'Archived' then case application.reason_type
            when 'RejectedByCandidate' then 'withdrawn'
            else 'rejected'
        end
    end as status,
    case application.status
        when 'Archived' then coalesce(application.archived_at, last_end.ended_at)
        when 'Hired' then last_end.ended_at
    end as closed_at,
    case when application.status = 'Archived' then application.reason_group end
        as close_reason,
    application.source_title as source,
    recruiter.person_id as recruiter_id,
    application.updated_at
from known_applications as application
left join (
    select
        application_id,
        min(entered_at) filter (type <> 'Lead') as applied_at
    from visits
    group by application_id
    having bool_or(type = 'Lead')
) as arrival
    using (application_id)
left join (
    select
        application_id,
        iso(max(occurred_at)) as ended_at
    from outcomes
    where kind in ('hired', 'rejected', 'withdrawn')
    group by application_id
) as last_end
    using (application_id)
left join (
    select
        application_id,
        min(member ->> 'userId') as person_id
    from (
        select
            application_id,
            unnest(cast(hiring_team as json[])) as member
        from known_applications
    )
    where letters(member ->> 'role') = 'recruiter'
    group by application_id
) as recruiter
    using (application_id)

-- entity: application_events
select
    application_id,
    iso(occurred_at) as occurred_at,
    kind,
    max(reason_group) as reason_group
from outcomes
group by application_id, occurred_at, kind

-- entity: candidates
select
    candidate_id,
    arg_max(full_name, (updated_at, application_id)) as full_name,
    arg_max(email, (updated_at, application_id)) as email
from known_applications
group by candidate_id

-- entity: jobs
select
    job_id,
    title,
    role_family,
    department,
    opened_at,
    closed_at
from known_jobs

-- entity: openings
select
    opening.id as opening_id,
    cast(opening.latestVersion -> 'jobIds' as varchar[])[1] as job_id,
    opening.openedAt as opened_at,
    case
        when opening.openingState = 'Filled'
            then coalesce(filled.filled_at, opening.closedAt)
    end as filled_at,
    opening.closedAt as closed_at,
    case when opening.openingState = 'Filled' then filled.application_id end
        as application_id
from "opening.list" as opening
left join (
    select
        opening_id,
        arg_max(application_id, (decided_at, offer_id)) as application_id,
        max(decided_at) as filled_at
    from offer_versions
    where status = 'accepted' and opening_id is not null
    group by opening_id
) as filled
    on opening.id = filled.opening_id
inner join known_jobs
    on known_jobs.job_id = cast(opening.latestVersion -> 'jobIds' as varchar[])[1]
where opening.openedAt is not null and opening.openingState <> 'Draft'

-- entity: hiring_team
with members as (
    select
        id as job_id,
        unnest(cast(hiringTeam as json[])) as member
    from "job.list"
),

roles as (
    select
        job_id,
        member ->> 'userId' as person_id,
        case letters(member ->> 'role')
            when 'recruiter' then 'recruiter'
            when 'hiringmanager' then 'hiring_manager'
            when 'coordinator' then 'coordinator'
            when 'recruitingcoordinator' then 'coordinator'
            when 'sourcer' then 'sourcer'
        end as role
    from members
)

select * from roles
where role is not null and person_id is not null

-- entity: stages
with native as (
    -- What applications of a family may go through, by the plans of its jobs.
    select
        planned.role_family,
        stage.title,
        stage.type,
        stage.plan_order,
        stage.group_order
    from (select role_family, unnest(plans) as plan_id from known_jobs) as planned
    inner join native_stages as stage on planned.plan_id = stage.plan_id
    union
    -- What they went through, in plans that are gone or cannot be listed.
    select
        coalesce(job.role_family, default_family()) as role_family,
        visits.title,
        visits.type,
        visits.plan_order,
        visits.group_order
    from visits
    inner join known_applications as application using (application_id)
    left join known_jobs as job on application.job_id = job.job_id
),

ranked as (
    select
        role_family,
        stage_of(title) as stage,
        plan_order,
        group_order,
        case type
            when 'PreInterviewScreen' then 1
            when 'Offer' then 3
            when 'Hired' then 4
            else 2
        end as type_rank
    from native
    where type not in ('Lead', 'Archived') and title is not null
),

grouped as (
    select
        role_family,
        stage,
        min(type_rank) as type_rank,
        median(plan_order) as plan_order,
        median(group_order) as group_order
    from ranked
    group by role_family, stage
),

-- A round belongs to a stage where the stage knows no other.
rounds as (
    select
        coalesce(job.role_family, default_family()) as role_family,
        stage_of(events.stage_title) as stage,
        case when count(distinct events.round) = 1 then min(events.round) end as round
    from events
    inner join known_applications as application using (application_id)
    left join known_jobs as job on application.job_id = job.job_id
    group by 1, 2
)

select
    grouped.role_family,
    grouped.stage,
    row_number() over (
        partition by grouped.role_family
        order by
            grouped.type_rank,
            grouped.plan_order nulls last,
            grouped.group_order nulls last,
            grouped.stage
    ) as "order",
    coalesce(
        declared_group_of(grouped.stage),
        case grouped.type_rank
            when 1 then 'screen'
            when 3 then 'offer'
            when 4 then 'hired'
            else case stage_group_of(grouped.stage)
                when 'screen' then 'screen'
                else 'interview'
            end
        end
    ) as stage_group,
    rounds.round
from grouped
left join rounds
    on
        grouped.role_family = rounds.role_family
        and grouped.stage = rounds.stage

-- entity: stage_events
select
    application_id,
    stage_of(title) as stage,
    entered_at,
    visit_id,
    left_at as exited_at,
    case when entered_at is null then 'missing' else 'exact' end as entered_at_quality
from visits
where type not in ('Lead', 'Archived')

-- entity: interviewers
with named as (
    select
        id as interviewer_id,
        nullif(trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')), '')
            as full_name,
        isEnabled as is_active
    from "user.list"
),

-- Ashby's own ids, of people whom its list does not have (any more).
met as (
    select interviewer_id from panel
    union
    select interviewer_id from cards
)

select * from named
union all
select
    interviewer_id,
    null as full_name,
    null as is_active
from met
where interviewer_id not in (select interviewer_id from named)

-- entity: interviews
with lasting as (
    select
        *,
        date_diff('second', instant_of(started_at), instant_of(ended_at)) / 60.0
            as minutes
    from events
)

select
    interview_id,
    application_id,
    round,
    requested_at,
    started_at as scheduled_at,
    case when minutes between 0 and 1440 then minutes end as duration_minutes,
    case status
        when 'Cancelled' then 'cancelled'
        when 'Complete' then 'complete'
        when 'WaitingOnFeedback' then 'complete'
        when 'Scheduled' then 'scheduled'
        when 'OnHold' then 'on_hold'
        else 'unspecified'
    end as status,
    updated_at
from lasting

-- entity: interview_panel
select
    interview_id,
    interviewer_id,
    panel_role,
    attended
from panel

-- entity: scorecards
select
    * exclude (ratings),
    'false' as is_draft
from cards

-- entity: ratings
with rated as (
    select
        scorecard_id,
        submitted_at,
        unnest(cast(ratings as json[])) as field
    from cards
),

named as (
    select
        scorecard_id,
        competency_of(coalesce(field ->> 'title', field ->> 'path')) as by_title,
        competency_of(field ->> 'path') as by_path,
        field ->> 'title' as title,
        field ->> 'path' as path,
        field ->> 'value' as rating,
        submitted_at
    from rated
),

-- A declared name wins, be it declared for the title or for the path.
chosen as (
    select
        scorecard_id,
        case when by_path <> path then by_path else by_title end as competency,
        path,
        rating,
        submitted_at
    from named
)

select
    scorecard_id,
    competency,
    -- Several fields of a card may rate one competency; the field tells them apart.
    case when count(*) over (partition by scorecard_id, competency) > 1 then path end
        as question_id,
    rating,
    submitted_at as rated_at
from chosen

-- entity: offers
select
    offer_id,
    version,
    application_id,
    extended_at,
    status,
    case
        when not is_latest then replaced_at
        when status <> 'pending' then decided_at
    end as resolved_at,
    starts_on
from offer_versions
