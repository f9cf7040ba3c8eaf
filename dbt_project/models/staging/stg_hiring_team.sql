{{ newest('hiring_team') }}
