"""Where images are found.

``base`` (what every source can do), ``open`` (the one that a text names), ``s3_prefix``, ``inventory``,
``local_folder`` (uploaded first) and ``failed_of_load`` (what a load could not moderate), ``listing`` (the
rows they give), ``image_header`` and ``inspection`` (what the first bytes of an image say).
"""
