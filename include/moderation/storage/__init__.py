"""Bytes and where they lie: S3, the local disk, and what keeps two processes apart.

``s3_objects`` (objects of a bucket), ``files`` (tables' files, in S3 or on a disk), ``whole_file`` (local
files that are seen whole or not at all), ``state`` (small files that a run goes by, sealed with a checksum),
``lease`` (one holder at a time), ``scratch`` (folders that a killed process leaves and the next one removes),
``row_file`` (rows on the local disk), ``parquet`` (files of which no bit changes unnoticed),
``tombstones`` (what was erased, told without naming it), ``memory`` (how a process that works
through all rows manages it).
"""
