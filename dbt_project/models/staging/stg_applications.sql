{{ newest('applications') }}
