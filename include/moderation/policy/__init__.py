"""Rules that give each image allow, review or block, apart from the scores.

``rules`` (the file that people write), ``sql`` (the same as a query).
"""
