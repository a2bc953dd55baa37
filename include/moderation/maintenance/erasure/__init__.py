"""Images taken out of everything that was written about them, on request.

``erase`` (all of it, in order), ``wanted`` (what is asked for), ``plans`` and ``answers`` (what lies with a
plan), ``tables``, ``counts`` (of loads and jobs), ``ledger``, ``reports``, ``archives``, ``places`` (this
machine, uploads, the search afterwards), ``search`` (in one file), ``receipt``, ``steps``.
``storage/tombstones.py`` keeps them from coming back.
"""
