{{ newest('interview_panel') }}
