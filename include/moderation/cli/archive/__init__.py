"""``archive``: what stands before a great number of images."""
