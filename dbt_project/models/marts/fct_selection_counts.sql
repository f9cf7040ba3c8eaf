-- The one place where demographic answers meet applications; nothing below this grain
-- leaves it.
with applications as (

    select * from {{ ref('int_applications') }}

),

outcomes as (

    select * from {{ ref('fct_stage_outcomes') }}

),

demographics as (

    select * from {{ ref('stg_demographics') }}

),

windows as (

    select * from {{ ref('dim_windows') }}

),

quarters as (

    select * from windows
    where window_kind = 'quarter' and is_closed

),

overall as (

    select
        applications.application_id,
        'overall' as stage,
        applications.applied_at as entered_at,
        case
            when applications.first_offer_at is not null then 'selected'
            when applications.terminal_kind = 'hired' then 'selected'
            when applications.terminal_kind = 'rejected' then 'rejected'
            when applications.terminal_kind = 'withdrawn' then 'withdrew'
            when applications.terminal_kind = 'closed_no_decision'
                then 'closed_no_decision'
            else 'open'
        end as outcome
    from applications

),

by_stage as (

    select
        application_id,
        stage,
        first_entered_at as entered_at,
        case when outcome = 'advanced' then 'selected' else outcome end as outcome
    from outcomes
    where
        stage_group not in ('applied', 'offer', 'hired')
        and not is_skipped

),

decisions as (

    select * from overall
    union all
    select * from by_stage

),

placed as (

    select
        decisions.application_id,
        decisions.stage,
        decisions.outcome,
        quarters.window_id as quarter_id,
        quarters.window_start as quarter_start,
        applications.delivered_application_id,
        applications.role_family,
        applications.job_id,
        row_number() over (
            partition by
                decisions.stage,
                applications.candidate_id,
                applications.role_family,
                quarters.window_id
            order by decisions.entered_at asc, decisions.application_id asc
        ) as episode_rank
    from decisions
    inner join applications
        on decisions.application_id = applications.application_id
    inner join quarters
        on
            decisions.entered_at >= quarters.window_start
            and decisions.entered_at < quarters.window_end

),

episodes as (

    select * from placed
    where episode_rank = 1

),

jobs as (

    select
        stage,
        quarter_id,
        role_family,
        job_id,
        count(*) as n_in_job
    from episodes
    group by stage, quarter_id, role_family, job_id

),

-- Strata are job and quarter; jobs with fewer than ten people share their family's.
stratified as (

    select
        episodes.delivered_application_id,
        episodes.stage,
        episodes.outcome,
        episodes.quarter_start,
        episodes.role_family,
        episodes.quarter_id || '|' || episodes.role_family || '|'
        || case
            when jobs.n_in_job >= 10 then coalesce(episodes.job_id, 'none')
            else 'pooled'
        end
            as stratum
    from episodes
    inner join jobs
        on
            episodes.stage = jobs.stage
            and episodes.quarter_id = jobs.quarter_id
            and episodes.role_family is not distinct from jobs.role_family
            and episodes.job_id is not distinct from jobs.job_id

),

answers as (

    {{ answers('demographics', 'applications') }}

),

answered as (

    select
        stratified.role_family,
        stratified.stratum,
        stratified.stage,
        stratified.quarter_start,
        stratified.outcome,
        answers.attribute,
        answers.group_value,
        answers.is_disclosed
    from stratified
    inner join answers
        on stratified.delivered_application_id = answers.application_id

),

by_quarter as (

    select
        role_family,
        stratum,
        stage,
        quarter_start,
        attribute,
        group_value,
        is_disclosed,
        count(*) as n_entered,
        count(*) filter (where outcome in ('selected', 'rejected')) as n_decided,
        count(*) filter (where outcome = 'selected') as n_selected,
        count(*) filter (where outcome = 'withdrew') as n_withdrew,
        count(*) filter (where outcome = 'open') as n_open,
        count(*) filter (where outcome = 'closed_no_decision')
            as n_closed_no_decision
    from answered
    group by
        role_family, stratum, stage, quarter_start, attribute, group_value, is_disclosed

),

final as (

    select
        windows.window_id,
        by_quarter.role_family,
        by_quarter.stratum,
        by_quarter.stage,
        by_quarter.attribute,
        by_quarter.group_value,
        cast(sum(by_quarter.n_entered) as bigint) as n_entered,
        cast(sum(by_quarter.n_decided) as bigint) as n_decided,
        cast(sum(by_quarter.n_selected) as bigint) as n_selected,
        cast(sum(by_quarter.n_withdrew) as bigint) as n_withdrew,
        cast(sum(by_quarter.n_open) as bigint) as n_open,
        cast(sum(by_quarter.n_closed_no_decision) as bigint) as n_closed_no_decision,
        by_quarter.is_disclosed
    from by_quarter
    inner join windows
        on
            windows.window_kind in ('year', 'all')
            and by_quarter.quarter_start >= windows.window_start
            and by_quarter.quarter_start < windows.window_end
    group by
        windows.window_id,
        by_quarter.role_family,
        by_quarter.stratum,
        by_quarter.stage,
        by_quarter.attribute,
        by_quarter.group_value,
        by_quarter.is_disclosed

)

select * from final
