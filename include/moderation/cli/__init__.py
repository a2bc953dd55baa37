"""``moderation``: what people type.

``main`` (the table of commands), ``boundary`` (how each of them ends), ``arguments`` and ``output``; then the
commands: ``plan``, ``jobs``, ``maintenance``, ``query``, ``replay``, ``report_page`` and ``detect``.
"""
