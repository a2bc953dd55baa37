"""Places where analysts query the tables; each takes one published load at a time."""
