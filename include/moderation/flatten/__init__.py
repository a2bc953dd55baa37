"""Answers become rows.

``blocks`` (lines of a file), ``parse`` (lines to columns), ``read_answers`` (a manifest's answers),
``reconcile`` (each input has one), ``label_paths`` (ancestors by the taxonomy), ``row_columns`` and ``rows``
(the tables' columns), ``flatten`` (a whole manifest); ``arrays`` are its tools, ``native`` its compiled twin.
"""
