-- Performance reviews of an HR system to the landing contract: what the reader has made.

-- entity: employees
select * from employees

-- entity: performance_reviews
select * from reviews
