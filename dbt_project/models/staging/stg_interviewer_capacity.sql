{{ newest('interviewer_capacity') }}
