-- What every translation uses. Times are text in ISO-8601, as services write them.

-- Milliseconds since 1970, as Lever writes time.
create macro iso_of_ms(ms) as
    strftime(make_timestamp(try_cast(ms as bigint) * 1000), '%Y-%m-%dT%H:%M:%S.%gZ');

-- Where a stage belongs in the funnel: as declared, else from its name.
create macro stage_group_of(stage) as coalesce(
    declared_group_of(stage),
    case
        when regexp_matches(lower(stage), 'hired|offer accepted|accepted offer') then 'hired'
        when regexp_matches(lower(stage), 'offer') then 'offer'
        when regexp_matches(lower(stage), '(^|[^a-z])(applied|application|lead|new|inbox|sourced)') then 'applied'
        when regexp_matches(lower(stage), 'screen|review|phone|recruiter|reached out|responded') then 'screen'
        else 'interview'
    end
);

-- A survey's answer that names no group: left open, or declined; null where it names one.
create macro undisclosed(answer) as case
    when trim(answer) = '' then 'unanswered'
    when regexp_matches(
        lower(answer),
        'declin|prefer not|choose not|rather not|(not|n.t) (wish|want) to|not disclose'
    ) then 'declined'
end;
