{{ newest('stages') }}
