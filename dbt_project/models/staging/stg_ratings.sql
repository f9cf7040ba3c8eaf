{{ newest('ratings') }}
