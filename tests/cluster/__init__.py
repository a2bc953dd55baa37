"""Airflow on several hosts, as deploy/compose describes it, on real processes: ``python -m cluster``.

``composed`` reads the compose file, ``servers`` has what all share, ``hosts`` and ``cluster`` the hosts,
``images`` what is moderated, ``people`` who verifies, ``watching`` and ``deaths`` what is killed when,
``exact`` what must be true at the end.
"""
