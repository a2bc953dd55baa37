"""What a run will ask, at what price, and whose the images are.

``request`` (what is asked), ``planner`` (the whole of it), ``discovery`` (what is listed and new),
``ledger`` (what was moderated before, and whether that answers the question), ``claims`` (what other open
plans hold), ``keeping`` (for how long), ``content`` (each image and each content once), ``draft`` (from there
to a plan), ``manifests`` and ``inputs`` (its files), ``price`` (before anything is spent), ``plan`` (what it
says), ``store`` (where it lies), ``stop_note`` (why it is not gone on with).
"""
