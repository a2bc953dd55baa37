"""Where published loads are brought to be asked.

``configured`` (those of the settings), ``base`` (what each can do), ``duckdb``, ``folder``, ``postgres``,
``redshift``, ``redshift_fit`` and ``athena`` (one each), ``load_files`` (a load's files), ``sql`` (quoting)
and ``csv_rows`` (rows as text) for all of them, ``reading`` (the DuckDB file beside a pipeline that writes
it), ``missing`` (what it lacks).
"""
