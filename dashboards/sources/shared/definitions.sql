select
    table_name,
    case column_name when '' then '(the table)' else column_name end as column_name,
    replace(description, '`', '') as description
from definitions
