"""The definition, in Python, of what ``native`` does in compiled code.

``parse`` (lines to columns), ``row_columns`` (answers to the tables' columns).
"""
