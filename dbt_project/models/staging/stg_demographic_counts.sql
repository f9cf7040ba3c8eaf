{{ newest('demographic_counts') }}
