{{ newest('interviewers') }}
