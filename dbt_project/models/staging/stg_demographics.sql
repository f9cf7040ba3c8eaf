{{ newest('demographics') }}
