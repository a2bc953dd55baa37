"""What the pages look up.

In reading order: `looks` (the published tables, in little memory), `load_index` (a load's images as a file
that answers at once), `contents` (which contents loads have), `selection` (what a person chose to see, as an
address), `found` (counts and pages of a selection), `steps` (these by confidence), `history` (all loads, and
every answer about one image), `described` (what loads are called), `under_way` (runs not yet published).
"""
