{{ newest('performance_reviews') }}
