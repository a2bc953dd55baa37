"""The routes of the console and what they show.

In reading order: `view` (values become HTML), `jobs` (all jobs, one job), `image` (one image), `export` (a
selection as a file), `start` (a new analysis). `templates` and `static` are what they are made of.
"""
