"""An archive before and while it is worked through.

``survey`` counts what a source holds, ``schedule`` says what it costs month by month and when it is done;
``backfill`` works it off in chunks.
"""
