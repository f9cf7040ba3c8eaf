{# The first moment after as_of: rows from then on are not there yet. #}
{% macro as_of_end() -%}
    {%- set day = modules.datetime.date.fromisoformat(var('as_of') | string) -%}
    timestamp '{{ day + modules.datetime.timedelta(days=1) }} 00:00:00'
{%- endmacro %}

{# Days between two timestamps, from seconds: daylight saving never shows in UTC. #}
{% macro days_between(start, finish) -%}
    (({{ epoch_seconds(finish) }} - {{ epoch_seconds(start) }}) / 86400.0)
{%- endmacro %}

{# Whether a moment belongs to an episode: the first one takes what is not dated and what
   precedes it, the others begin with their reopening. #}
{% macro in_episode(moment, episodes='applications', start='applied_at') -%}
    ({{ episodes }}.reopening_number = 0 or {{ moment }} >= {{ episodes }}.{{ start }})
    and not coalesce({{ moment }} >= {{ episodes }}.next_reopened_at, false)
{%- endmacro %}

{% macro epoch_seconds(value) -%}
    {{ return(adapter.dispatch('epoch_seconds')(value)) }}
{%- endmacro %}

{% macro duckdb__epoch_seconds(value) -%}
    cast(epoch({{ value }}) as double)
{%- endmacro %}

{% macro spark__epoch_seconds(value) -%}
    cast(unix_seconds(cast({{ value }} as timestamp)) as double)
{%- endmacro %}

{# The windows of the report as literal rows: quarters of the fiscal calendar back from
   as_of, the years that end with the last closed quarter and do not overlap, the rolling
   ones that end with the other quarters, all of them, and the closed months of the same
   history. #}
{% macro window_rows() %}
    {%- set date = modules.datetime.date -%}
    {%- set as_of = date.fromisoformat(var('as_of') | string) -%}
    {%- set close = modules.datetime.timedelta(days=var('policy').quarter_close_days | int) -%}
    {%- set first_month = var('policy').fiscal_year_start_month | int -%}
    {%- set back = (as_of.month - first_month) % 3 -%}
    {%- set this_month = as_of.year * 12 + as_of.month - 1 - back -%}
    {%- set history = var('policy').history_quarters | int -%}
    {%- set month_names = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep',
        'Oct', 'Nov', 'Dec'] -%}
    {%- set rows = [] -%}
    {%- set closed = [] -%}
    {%- for place in range(history + 1) -%}
        {%- set month = this_month - 3 * (history - place) -%}
        {%- set start = date(month // 12, month % 12 + 1, 1) -%}
        {%- set finish = date((month + 3) // 12, (month + 3) % 12 + 1, 1) -%}
        {%- set fiscal = (month - first_month + 1) -%}
        {%- set number = (fiscal % 12) // 3 + 1 -%}
        {%- set year = fiscal // 12 + (0 if first_month == 1 else 1) -%}
        {%- set prefix = '' if first_month == 1 else 'FY' -%}
        {%- set is_closed = as_of >= finish + close -%}
        {%- if is_closed -%}{%- do closed.append(start) -%}{%- endif -%}
        {%- do rows.append({
            'id': prefix ~ year ~ 'Q' ~ number, 'kind': 'quarter',
            'label': prefix ~ year ~ ' Q' ~ number,
            'start': start, 'finish': finish, 'is_closed': is_closed,
            'number': place}) -%}
    {%- endfor -%}
    {%- set quarters = rows | selectattr('is_closed') | list -%}
    {%- if quarters -%}
        {%- for place in range(quarters | length) -%}
            {%- set last = quarters[quarters | length - 1 - place] -%}
            {%- set month = last.finish.year * 12 + last.finish.month - 1 - 12 -%}
            {#- A year that ends elsewhere needs four quarters of its own. -#}
            {%- if place % 4 == 0 or place + 4 <= quarters | length -%}
                {%- do rows.append({
                    'id': 'year-to-' ~ last.id,
                    'kind': 'year' if place % 4 == 0 else 'rolling',
                    'label': 'four quarters to ' ~ last.label,
                    'start': date(month // 12, month % 12 + 1, 1),
                    'finish': last.finish, 'is_closed': true,
                    'number': -(place // 4) if place % 4 == 0 else -place}) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do rows.append({
            'id': 'all', 'kind': 'all', 'label': 'all closed quarters',
            'start': quarters[0].start, 'finish': quarters[-1].finish,
            'is_closed': true, 'number': 0}) -%}
    {%- endif -%}
    {%- for place in range(3 * history + 3) -%}
        {%- set month = this_month - 3 * history + place -%}
        {%- set start = date(month // 12, month % 12 + 1, 1) -%}
        {%- set finish = date((month + 1) // 12, (month + 1) % 12 + 1, 1) -%}
        {%- if as_of >= finish + close -%}
            {%- do rows.append({
                'id': start.isoformat()[:7], 'kind': 'month',
                'label': month_names[start.month - 1] ~ ' ' ~ start.year,
                'start': start, 'finish': finish, 'is_closed': true,
                'number': place}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for row in rows %}
        select
            '{{ row.id }}' as window_id,
            '{{ row.kind }}' as window_kind,
            '{{ row.label }}' as window_label,
            cast('{{ row.start }}' as date) as window_start,
            cast('{{ row.finish }}' as date) as window_end,
            {{ 'true' if row.is_closed else 'false' }} as is_closed,
            cast({{ row.number }} as bigint) as window_number
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}
