"""Virtual time: a loop that sleeps in no time, and models of what an archive waits for.

In reading order: ``time``, ``service`` (Rekognition), ``plugin`` (the operator and its triggers under that
clock), ``airflow`` (the scheduler), ``archive`` (the conductor and its runs), ``report``.
"""
