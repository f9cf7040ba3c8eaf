select
    generation,
    as_of,
    last_closed_quarter,
    code_version,
    smallest_group_size,
    n_files,
    n_rows
from generation
