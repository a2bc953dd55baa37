"""What a run will ask, at what price, and whose the images are.

``planner`` (the whole of it), ``discovery`` (what is listed and new), ``deduplicate`` (each image once),
``ledger`` (what was moderated before) and ``coverage`` (whether that answers the question), ``claims`` (what
other open plans hold), ``manifests`` and ``inputs`` (the files), ``estimate`` and ``price`` (before anything
is spent), ``store`` (the plan in S3).
"""
