{{ newest('debrief_votes') }}
