"""SQL of the views that every warehouse has beside its tables.

`in_use` (what counts by the thresholds in use) and `verdict_views` (what people decided).
"""
