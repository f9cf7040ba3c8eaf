-- What Fivetran's tables of both services need. Times without an offset are UTC.

create macro ms_of(written) as
    cast(epoch_ms(try_cast(written as timestamptz)) as varchar);

create macro iso_of(written) as strftime(
    try_cast(written as timestamptz) at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'
);

-- A rating as the service spells it; the word `null` is none.
create macro spelled(value) as case when lower(value) <> 'null' then value end;

create macro name_of(first_name, last_name) as nullif(
    concat_ws(' ', first_name, last_name), ''
);

-- This is what Greenhouse writes over the name of a person who is anonymised.
create macro is_anonymised(first_name) as coalesce(first_name = 'Anonymized', false);

-- However a copy spells it.
create macro truth_of(value) as cast(try_cast(value as boolean) as varchar);
