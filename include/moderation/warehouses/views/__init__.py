"""SQL of the views that every warehouse has beside its tables.

`in_use` (what counts by the thresholds in use), `verdict_views` (what people decided), `postgres_views`
(both, where workers of two releases make them).
"""
