"""Asking the tables.

``queries`` (the ready ones, texts in ``ready``), ``published_views`` (the published files themselves),
``replay`` (history under another threshold or policy), ``dictionary`` (the tables, described).
"""
