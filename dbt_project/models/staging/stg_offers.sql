{{ newest('offers') }}
