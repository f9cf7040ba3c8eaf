{{ newest('debriefs') }}
