"""The report page: one self-contained HTML file over all loads and one for each load.

``write`` (the files), ``store`` (where a stack keeps them), ``data`` (what is read), ``view``, ``charts``,
``parts`` and ``wording`` (what is drawn).
"""
