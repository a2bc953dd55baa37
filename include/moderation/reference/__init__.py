"""What AWS and libraries publish, as data: nothing here depends on a setting.

``taxonomy`` (labels and their levels), ``error_codes`` (what befalls an image, and what a person does about
it), ``library_errors`` (which kind a library's error is of), ``limits`` (of images, manifests and accounts),
``prices`` (tiers of images a month); ``data`` holds the files they read.
"""
