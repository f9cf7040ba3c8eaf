-- One sentence a page, from its table; the number and its basis in words.
with actions as (

    select
        case count(*) filter (where is_action)
            when 0 then 'No change is proposed.'
            when 1 then 'One change is proposed.'
            else printf('%d changes are proposed.', count(*) filter (where is_action))
        end as sentence,
        printf(
            'closed periods to %s; n of each beside it; %s',
            (select last_closed_quarter from generation),
            case count(*) filter (where not is_action)
                when 0 then 'no target waits for more data'
                when 1 then 'one more target needs more data first'
                else printf(
                    '%d more targets need more data first',
                    count(*) filter (where not is_action)
                )
            end
        ) as basis
    from rubric_recommendations
    where recommendation_id <> 'none'
    having count(*) > 0

),

lowest as (

    select
        printf(
            'Panels agree least on %s: reliability %.2f of 1.',
            readable(round) || case competency
                when 'all' then ' (whole card)'
                else ', ' || readable(competency)
            end,
            estimate
        ) as sentence,
        printf(
            '95 %% interval %s; n = %s candidates; %s; %s',
            decimal_range(ci_low, ci_high), as_count(n, status),
            pooled(role_family, 'all roles'), window_label
        ) as basis
    from rater_reliability
    where window_kind = 'year' and role_family = 'all' and estimate is not null
    order by window_start desc, estimate
    limit 1

),

flagged as (

    select
        printf(
            '%d of %d interviewers differ enough to calibrate together.',
            count(*) filter (where flag <> 'none'), count(*)
        ) as sentence,
        printf(
            'stricter %d, more lenient %d, other patterns %d; n = %d interviewers with '
            || 'enough candidates; all roles; %s',
            count(*) filter (where flag = 'severe'),
            count(*) filter (where flag = 'lenient'),
            count(*) filter (where flag not in ('none', 'severe', 'lenient')),
            count(*), window_label
        ) as basis
    from interviewer_calibration
    where
        window_kind = 'year' and role_family = 'all' and interviewer_id <> 'none'
        and estimate is not null
    group by window_label, window_start
    order by window_start desc
    limit 1

),

predicts as (

    select
        printf(
            'All rounds together correlate %.2f with the %s of those hired.',
            estimate, readable(outcome)
        ) as sentence,
        printf(
            '95 %% interval %s; n = %s hires; observed, not corrected; all roles; %s',
            decimal_range(ci_low, ci_high), as_count(n, status), window_label
        ) as basis
    from predictive_validity
    where
        predictor_kind = 'composite' and role_family = 'all' and estimate is not null
    order by window_kind <> 'all', window_start desc, outcome
    limit 1

),

lowest_ratio as (

    select
        printf(
            'The lowest overall ratio of selection rates is %.2f (%s: %s, against %s).',
            estimate, readable(attribute), readable(group_value),
            readable(reference_group)
        ) as sentence,
        printf(
            '95 %% interval %s; n = %s; all roles; %s; a screening statistic, '
            || 'not a finding about a person or a decision',
            decimal_range(ci_low, ci_high), as_count(n, status), window_label
        ) as basis
    from adverse_impact
    where
        window_kind = 'year' and role_family = 'all' and stage_order = 0
        and not is_reference and estimate is not null
    order by window_start desc, estimate
    limit 1

),

found as (

    select 'recommendations' as page, 1 as place, * from actions
    union all
    select 'rubrics', 1, * from lowest
    union all
    select 'interviewers', 1, * from flagged
    union all
    select 'validity', 1, * from predicts
    union all
    select 'parity', 1, * from lowest_ratio
    union all
    select
        unnest(['recommendations', 'rubrics', 'interviewers', 'validity', 'parity']),
        9,
        'Not enough data for a headline yet.',
        'The tables below say what is missing.'

)

select page, sentence, basis
from found
qualify row_number() over (partition by page order by place) = 1
order by page
