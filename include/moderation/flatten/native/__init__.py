"""The compiled twin of ``parse`` and ``row_columns``.

``library`` (building and loading it, parsing), ``row_columns`` (the columns of the rows).
"""
