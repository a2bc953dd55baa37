"""Environment variables as rows of a table: what they take, and how they are told.

``row`` (a variable and its place among the fields of a dataclass), ``values`` (what a text may be, and the
value that it stands for), ``reading`` (the values in an environment), ``misspelt`` (names that no row has),
``table`` (what dataclasses of them share), ``page`` (the rows as ``docs/settings.md``), ``machine`` (those of
a process and its machine), ``local_stack`` (variables that the services of a checkout left for its commands).
But for the last two, nothing here knows a variable by name: the table itself is :mod:`moderation.settings`.
"""
