with files as (

    select * from {{ source('landing', 'files') }}

),

landed_rows as (

    select * from {{ source('landing', 'quarantined_rows') }}

),

row_counts as (

    select * from {{ ref('int_row_counts') }}

),

referenced_rows as (

    select * from {{ ref('int_quarantined_rows') }}

),

ratings as (

    select * from {{ ref('fct_ratings') }}

),

scorecards as (

    select * from {{ ref('fct_scorecards') }}

),

applications as (

    select * from {{ ref('fct_applications') }}

),

visits as (

    select * from {{ ref('fct_stage_visits') }}

),

matches as (

    select * from {{ ref('int_scorecard_matches') }}

),

windows as (

    select min(window_start) as window_start from {{ ref('dim_windows') }}

),

by_entity as (

    select
        entity,
        source,
        sum(rows_in) as rows_in,
        sum(accepted) as accepted,
        sum(duplicates) as duplicates,
        sum(quarantined) as quarantined,
        max(last_event_on) as last_event_on
    from files
    group by entity, source

),

by_code as (

    select
        entity,
        source,
        code,
        count(*) as n_rows
    from landed_rows
    group by entity, source, code
    union all
    select
        entity,
        source,
        code,
        count(*) as n_rows
    from referenced_rows
    group by entity, source, code

),

measured as (

    select
        'landing' as section,
        entity,
        source,
        'accepted_rate' as measure,
        rows_in as n,
        cast(accepted as double) / nullif(rows_in, 0) as estimate,
        'share of delivered rows' as status_reason
    from by_entity
    union all
    select
        'landing' as section,
        entity,
        source,
        'duplicate_rate' as measure,
        rows_in as n,
        cast(duplicates as double) / nullif(rows_in, 0) as estimate,
        'repeated rows of one file, kept once' as status_reason
    from by_entity
    union all
    select
        'landing' as section,
        entity,
        source,
        'quarantine_rate' as measure,
        rows_in as n,
        cast(quarantined as double) / nullif(rows_in, 0) as estimate,
        'refused for syntax, type or range' as status_reason
    from by_entity
    union all
    select
        'generation' as section,
        entity,
        source,
        'superseded_rate' as measure,
        accepted as n,
        cast(superseded as double) / nullif(accepted, 0) as estimate,
        'older versions of a row' as status_reason
    from row_counts
    union all
    select
        'generation' as section,
        entity,
        source,
        'quarantine_rate' as measure,
        accepted as n,
        cast(quarantined as double) / nullif(accepted, 0) as estimate,
        'refused for a missing reference or a conflict' as status_reason
    from row_counts
    union all
    select
        'quarantine' as section,
        entity,
        source,
        code as measure,
        sum(n_rows) as n,
        cast(sum(n_rows) as double) as estimate,
        'rows with this reason' as status_reason
    from by_code
    group by entity, source, code
    union all
    select
        'freshness' as section,
        entity,
        source,
        'age_days' as measure,
        rows_in as n,
        cast({{ dbt.datediff(
            'last_event_on', "cast('" ~ var('as_of') ~ "' as date)", 'day'
        ) }} as double) as estimate,
        'days from the last event to as_of' as status_reason
    from by_entity
    where last_event_on is not null
    union all
    select
        'coverage' as section,
        'ratings' as entity,
        'all' as source,
        'after_debrief_rate' as measure,
        count(*) as n,
        avg(case when is_independent then 0.0 else 1.0 end) as estimate,
        'given after the debrief: left out of reliability' as status_reason
    from ratings
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'ratings' as entity,
        'all' as source,
        'independence_unknown_rate' as measure,
        count(*) as n,
        avg(case when has_debrief then 0.0 else 1.0 end) as estimate,
        'no debrief is recorded: included' as status_reason
    from ratings
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'ratings' as entity,
        'all' as source,
        'changed_after_debrief_rate' as measure,
        count(*) as n,
        avg(case when was_changed_after_debrief then 1.0 else 0.0 end) as estimate,
        'changed after the debrief: the version before it counts' as status_reason
    from ratings
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'scorecards' as entity,
        'all' as source,
        'shadow_rate' as measure,
        count(*) as n,
        avg(case when is_shadow then 1.0 else 0.0 end) as estimate,
        'by somebody who only shadowed: left out' as status_reason
    from scorecards
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'scorecards' as entity,
        'all' as source,
        'hiring_manager_rate' as measure,
        count(*) as n,
        avg(case when is_hiring_manager then 1.0 else 0.0 end) as estimate,
        'by the hiring manager, who also decides: included' as status_reason
    from scorecards
    where is_hiring_manager is not null
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'applications' as entity,
        'all' as source,
        'dates_out_of_order_rate' as measure,
        count(*) as n,
        avg(case when order_fault is null then 0.0 else 1.0 end) as estimate,
        'an offer or a hire before what must precede it: counted' as status_reason
    from applications
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'stage_events' as entity,
        'all' as source,
        'entry_time_exact_rate' as measure,
        count(*) as n,
        avg(case when entered_at_quality = 'exact' then 1.0 else 0.0 end) as estimate,
        'entry into the stage was recorded, not derived' as status_reason
    from visits
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'stage_events' as entity,
        'all' as source,
        'entry_time_backfilled_rate' as measure,
        count(*) as n,
        avg(case when entered_at_quality = 'backfilled' then 1.0 else 0.0 end)
            as estimate,
        'entry into the stage was derived from something else' as status_reason
    from visits
    having count(*) > 0
    union all
    select
        'coverage' as section,
        'stage_events' as entity,
        'all' as source,
        'entry_time_missing_rate' as measure,
        count(*) as n,
        avg(case when entered_at_quality = 'missing' then 1.0 else 0.0 end) as estimate,
        'nobody knows when the stage was entered' as status_reason
    from visits
    having count(*) > 0
    union all
    select
        'reconciliation' as section,
        'scorecards' as entity,
        'all' as source,
        'without_interview_rate' as measure,
        count(*) as n,
        avg(case when match_state = 'without_interview' then 1.0 else 0.0 end)
            as estimate,
        'no interview of this interviewer is known' as status_reason
    from matches
    where match_state in ('without_interview', 'matched')
    having count(*) > 0
    union all
    select
        'reconciliation' as section,
        'interviews' as entity,
        'all' as source,
        'missing_scorecard_rate' as measure,
        count(*) as n,
        avg(case when match_state = 'missing' then 1.0 else 0.0 end) as estimate,
        'seats on past interviews without a scorecard' as status_reason
    from matches
    where match_state in ('missing', 'matched')
    having count(*) > 0
    union all
    select
        'reconciliation' as section,
        'interviews' as entity,
        'all' as source,
        'late_scorecard_rate' as measure,
        count(*) as n,
        avg(
            case
                when days_to_card > {{ var('policy').scorecard_late_days }} then 1.0
                else 0.0
            end
        ) as estimate,
        'scorecards written over {{ var('policy').scorecard_late_days }} days after the'
        || ' interview' as status_reason
    from matches
    where match_state = 'matched'
    having count(*) > 0

),

final as (

    select
        'generation' as window_id,
        'generation' as window_kind,
        'everything delivered' as window_label,
        windows.window_start,
        cast('{{ var("as_of") }}' as date) as window_end,
        true as is_closed,
        measured.section,
        measured.entity,
        measured.source,
        measured.measure,
        cast(measured.n as bigint) as n,
        measured.estimate,
        cast(null as double) as ci_low,
        cast(null as double) as ci_high,
        'count' as ci_method,
        'ok' as status,
        measured.status_reason
    from measured
    cross join windows
    where measured.estimate is not null

)

select * from final
