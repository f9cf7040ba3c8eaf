select
    case
        when n_failed > 0
            then printf('%d of %d quality checks gave a warning.', n_failed, n_checks)
        when n_checks > 0
            then printf('All %d quality checks passed.', n_checks)
        else 'Not enough data: no quality check has run.'
    end as sentence,
    'A check that fails as critical stops the run, so it cannot stand here.' as basis
from (
    select count(*) as n_checks, count(*) filter (where not success) as n_failed
    from gates
)
