"""Images made small for a browser.

In reading order: `decode` (the program of a process that decodes), `decoders` (a few such processes), `kept`
(small images from S3, made once and kept by content).
"""
