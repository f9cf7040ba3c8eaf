{{ newest('candidates') }}
