"""Answers become rows.

``flatten`` (a whole manifest) asks, in this order: ``blocks`` (lines of a file), ``parse`` (lines to columns,
as ``parsed_block`` states them), ``read_answers`` (the ``answers`` of a manifest, each label placed by
``label_paths``), ``summary`` (the errors of the job), ``reconcile`` (each input has one outcome), ``rows``
(the tables' columns); ``row_columns`` makes those that differ from row to row, as ``column_requests`` states.

``parse`` and ``row_columns`` only choose: ``python`` is the definition, ``native`` its compiled twin.
``arrays`` are everybody's tools.
"""
