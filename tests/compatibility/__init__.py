"""What an earlier release leaves on S3, in the catalog and on the disk, kept as data for later ones."""
