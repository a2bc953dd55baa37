"""What lines and rows mean, in Python: the definition that the compiled twin in ``native`` has to equal.

``parse`` (lines to columns), ``row_columns`` (answers to the columns of the tables).
"""
