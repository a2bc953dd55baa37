"""Asking the tables.

``answers`` (SQL, a table or a ready query), ``formats`` (the answer as a file) and ``text_table`` (as text),
``queries`` (the ready ones, texts in ``ready``), ``published_views`` (the published files themselves),
``checked_files`` (as DuckDB reads them),
``replay`` (history under another threshold or policy), ``dictionary`` (the tables, described).
"""
