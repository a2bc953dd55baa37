"""Where images are found.

``base`` (what every source can do), ``open`` (the one that a text names), ``s3_prefix`` (with
``parallel_listing``), ``told`` (inventories and lists), ``local_folder`` (uploaded first) and
``failed_of_load`` (what a load could not moderate), ``filters`` (only some of their images), ``listing`` (the
rows they give), ``positions`` (how far what tells of changes was read), ``gone`` (known images that they do
not show any more), ``image_header`` and ``inspection`` (what the first bytes of an image say).
"""
