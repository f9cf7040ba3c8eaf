{{ newest('take_homes') }}
