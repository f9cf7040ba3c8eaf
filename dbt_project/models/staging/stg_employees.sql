{{ newest('employees') }}
