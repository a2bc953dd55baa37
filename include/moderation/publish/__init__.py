"""All rows of a run become visible at once, or none.

``build`` (the files of a load), ``strays`` (what a killed attempt left), ``commit`` (the publish itself).
"""
