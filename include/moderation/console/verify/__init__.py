"""Verify behind its pages: what a person sees of a queue's items, and how what they say becomes verdicts.

In reading order: `seen` (an item with the answer it shows), `said` (what a browser sends becomes verdicts),
`lately` (what a person decided), `told` (a queue in words), `making` (a new one), `share` (of a job),
`figures` (numbers).
"""
