{{ newest('openings') }}
