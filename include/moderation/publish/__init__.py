"""All rows of a run become visible at once, or none.

``build`` (the files of a load), ``copies`` (what the copies in it get), ``strays`` (what a killed attempt
left), ``commit`` (the publish itself), ``paid`` (of a run, or of one that died),
``gone`` (what is no longer at its source).
"""
