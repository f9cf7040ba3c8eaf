{{ newest('jobs') }}
