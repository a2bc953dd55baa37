"""The compiled twin of ``parse`` and ``row_columns``.

``library`` (building and loading it, parsing), ``rows`` (the columns of the rows).
"""
