"""One image, from S3 to its answer.

``objects`` and ``regions`` (where it lies), ``parcels`` and ``pool`` (who looks at it), ``analysis`` (what is
seen), ``kept`` (so that what was seen once need not be seen again).
"""
