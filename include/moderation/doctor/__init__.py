"""``moderation doctor``: what on this machine would stand in the way, each with its remedy.

``finding`` (ok, warning or stop), ``machine``, ``shell`` and ``ports`` (the checks), ``checks`` (their table:
one check is one function and one row), ``report`` (lines or JSON, and the exit code).
``aws`` looks at an AWS account instead, and needs what is installed.

The rest needs Python 3.11 and nothing installed: ``make doctor`` runs it before anything is.
"""
