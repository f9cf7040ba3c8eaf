{{ newest('assessment_results') }}
