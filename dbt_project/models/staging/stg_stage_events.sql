{{ newest('stage_events') }}
