"""Media analysis jobs, from their start to their files.

``manifest`` (what is asked), ``store`` (what survives a kill), ``scheduler`` (when), ``job_run`` (how),
``spool`` (answers so far), ``result_faults`` (lines that are to be wrong).
"""
