"""What AWS publishes, as data: nothing here depends on a setting.

``taxonomy`` (labels and their levels), ``error_codes`` (what befalls an image, and what a person does about
it), ``limits`` (of images, manifests and accounts), ``prices`` (tiers of images a month); ``data`` holds the
files they read.
"""
