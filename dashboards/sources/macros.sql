-- How numbers are written for readers: a number that is not there is a word, never 0.
create macro word(status) as
    case status when 'suppressed' then 'suppressed' else 'not enough data' end;

-- Adding 0 turns a rounded -0.0 into 0.0.
create macro decimals(x, digits) as
    case digits
        when 1 then printf('%.1f', round(cast(x as double), 1) + 0.0)
        else printf('%.2f', round(cast(x as double), 2) + 0.0)
    end;

-- Periods as readers look for them: years, quarters, then the four quarters between.
create macro window_place(kind) as
    case kind when 'year' then 0 when 'quarter' then 1 when 'rolling' then 2 else 3 end;

create macro as_percent(x, status) as
    coalesce(printf('%.1f %%', 100.0 * cast(x as double)), word(status));

create macro as_decimal(x, status) as coalesce(decimals(x, 2), word(status));

create macro as_days(x, status) as coalesce(decimals(x, 1), word(status));

create macro as_count(x, status) as
    coalesce(format('{:,}', cast(x as bigint)), word(status));

-- Counts with separators, everything else with four digits.
create macro as_measure(x) as
    case
        when x is null then '–'
        when x = trunc(x) then format('{:,}', cast(x as bigint))
        else printf('%.4g', cast(x as double))
    end;

-- An interval with an open end is written as such; without any bound it is a dash.
create macro percent_range(low, high) as
    case
        when low is null and high is null then '–'
        else
            coalesce(printf('%.1f', 100.0 * low), '…') || ' to '
            || coalesce(printf('%.1f %%', 100.0 * high), '…')
    end;

create macro decimal_range(low, high) as
    case
        when low is null and high is null then '–'
        else
            coalesce(decimals(low, 2), '…') || ' to '
            || coalesce(decimals(high, 2), '…')
    end;

create macro days_range(low, high) as
    case
        when low is null and high is null then '–'
        else
            coalesce(decimals(low, 1), '…') || ' to '
            || coalesce(decimals(high, 1), '…')
    end;

-- A number with its interval in one cell, where a table has many of them.
create macro percent_with_range(x, low, high, status) as
    case
        when x is null then word(status)
        when low is null and high is null then printf('%.1f %%', 100.0 * x)
        else printf('%.1f %%', 100.0 * x) || ' [' || percent_range(low, high) || ']'
    end;

create macro decimal_with_range(x, low, high, status) as
    case
        when x is null then word(status)
        when low is null and high is null then decimals(x, 2)
        else decimals(x, 2) || ' [' || decimal_range(low, high) || ']'
    end;

-- Why a row says less than others; the interval itself shows why it is inconclusive.
create macro note(status, reason) as
    case status
        when 'inconclusive' then 'inconclusive'
        when 'suppressed' then 'too few people'
        else reason
    end;

create macro p_value(p) as
    case when p is null then '–' when p < 0.001 then '< 0.001' else printf('%.3f', p) end;

create macro readable(value) as replace(value, '_', ' ');

-- 'all' is a row of its own; 'none' stands in the one row of an empty table.
create macro pooled(value, everything) as
    case value
        when 'all' then everything when 'none' then 'none yet' else readable(value)
    end;

-- A selector's value stands between quotes in page SQL.
create macro quotable(value) as replace(value, '''', '''''');
