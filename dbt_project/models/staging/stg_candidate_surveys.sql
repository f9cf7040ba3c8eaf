{{ newest('candidate_surveys') }}
