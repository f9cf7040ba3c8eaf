{{ newest('scorecards') }}
