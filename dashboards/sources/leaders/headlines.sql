-- One sentence a page, from one row of its table; the number and its basis in words.
with slowest as (

    select
        printf(
            'Fewest move on at %s: %.1f %% advance within %.0f days of entering it.',
            readable(stage), 100 * estimate, cast(horizon_days as double)
        ) as sentence,
        printf(
            '95 %% interval %s; n = %s; all roles, all channels; %s',
            percent_range(ci_low, ci_high), as_count(n, status), window_label
        ) as basis
    from funnel
    where
        basis = 'cohort' and window_kind = 'year' and role_family = 'all'
        and source = 'all' and estimate is not null
    order by window_start desc, estimate
    limit 1

),

wait as (

    select
        printf(
            'The longest avoidable wait is at %s (%s): %.1f days above %s.',
            readable(stage), pooled(role_family, 'all roles'), estimate,
            case reference_kind when 'sla' then 'its target' else 'the year before' end
        ) as sentence,
        printf(
            '95 %% interval %s days; n = %s visits; waits on %s; %s',
            days_range(ci_low, ci_high), as_count(n, status), readable(waits_on),
            window_label
        ) as basis
    from bottlenecks
    where is_bottleneck and window_kind = 'year' and estimate is not null
    order by window_start desc, role_family <> 'all', estimate desc
    limit 1

),

no_wait as (

    select
        'No stage is a bottleneck: no company-side wait is reliably above its reference.'
            as sentence,
        'All roles; ' || window_label as basis
    from bottlenecks
    where window_kind = 'year' and role_family = 'all' and estimate is not null
    order by window_start desc
    limit 1

),

hire as (

    select
        printf('Half of the hires took %.0f days or less from application.', estimate)
            as sentence,
        printf(
            '95 %% interval %s days; n = %s hires; all roles, all channels; %s',
            days_range(ci_low, ci_high), as_count(n, status), window_label
        ) as basis
    from time_to_hire
    where
        measure = 'time_to_hire' and window_kind = 'year' and role_family = 'all'
        and source = 'all' and estimate is not null
    order by window_start desc
    limit 1

),

found as (

    select 'funnel' as page, 1 as place, * from slowest
    union all
    select 'bottlenecks', 1, * from wait
    union all
    select 'bottlenecks', 2, * from no_wait
    union all
    select 'offers', 1, * from hire
    union all
    select
        unnest(['funnel', 'bottlenecks', 'offers']),
        9,
        'Not enough data for a headline yet.',
        'The table below says what is missing.'

)

select page, sentence, basis
from found
qualify row_number() over (partition by page order by place) = 1
order by page
