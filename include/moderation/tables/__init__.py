"""The published tables, below everything that fills or reads them.

``catalog`` (Iceberg's: which tables there are), ``published`` (their rows as readers may see them),
``register`` (which loads there are, apart from the catalog), ``history`` (whether the catalog still knows
them), ``checksums`` (the SHA-256 of each file), ``outcomes`` (what a load says of itself, and what of it
people must see to), ``source_ref_ranges`` (rows of a range of names only), ``writer`` and ``row_buffer``
(Parquet files of a load), ``ledger`` (what of the rows planning goes by, sorted, in S3), ``swap`` (files in
place of others, while others commit), ``renewed_io`` (files by credentials that end).
"""
