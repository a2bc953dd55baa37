"""Sources that are told what there is, so that no bucket is listed.

``inventory`` reads a report of S3 Inventory with the formats of ``inventory_files``, ``metadata_table`` a
table of S3 Metadata, ``key_list`` a file that names single objects, ``chunk``
a part of an archive.
"""
