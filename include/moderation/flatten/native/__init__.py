"""The compiled twin of ``python``: the same values, many times as fast; None where it cannot.

``library`` (building and loading it), ``parse`` (lines to columns), ``row_columns`` (answers to the tables'
columns); the C++ lies beside them.
"""
