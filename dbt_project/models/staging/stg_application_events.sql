{{ newest('application_events') }}
