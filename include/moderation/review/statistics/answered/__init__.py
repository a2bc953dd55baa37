"""What was answered and flagged, of however many images.

Loads are read one after the other and put ``apart`` by contents into files, the ``newest`` answer of each
content is looked for part by part, and what labels these list is counted (``flagged``): ``populations`` is
all of it in one call.
"""
