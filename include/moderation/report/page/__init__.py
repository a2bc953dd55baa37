"""The report page: one self-contained HTML file over all loads, one for each load, and a list of runs.

``write`` (the files), ``runs`` (the list), ``store`` (where a stack keeps them), ``data`` (what is read),
``view``, ``charts``, ``parts`` and ``wording`` (what is drawn).
"""
