"""Environment variables as rows of a table: what they take, and how they are told.

``row`` (a variable and its place among the fields of a dataclass), ``values`` (what a text may be, and the
value that it stands for), ``reading`` (the values in an environment), ``misspelt`` (names that no row has),
``page`` (the rows as ``docs/settings.md``), ``local_stack`` (the variables that the services of a checkout
left for its commands). But for the last, nothing here knows a variable by name: the table itself is
:mod:`moderation.settings`.
"""
