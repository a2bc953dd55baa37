"""Images that anybody may have made, decoded within bounds.

``decode`` (the program of a process with bounded memory), ``decoders`` (a few of these), ``staging`` (images
of formats that Rekognition refuses, sent as JPEG), ``staged`` (what becomes of those).
"""
