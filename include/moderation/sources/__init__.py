"""Where images are found.

``open`` (the source that a URI names), ``local_folder`` (uploaded first), ``failed_of_load`` (what a load
could not moderate), ``listing`` (the rows they give), ``image_header`` and ``inspection`` (what the first
bytes of an image say).
"""
