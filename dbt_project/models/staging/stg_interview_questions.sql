{{ newest('interview_questions') }}
