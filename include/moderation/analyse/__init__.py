"""How a manifest gets its answers.

``backend`` (which of the two), ``bulk`` (a media analysis job a manifest), ``detect`` (a call an image),
``before_paying`` (what is looked up of a manifest before that), ``record`` (what either leaves for the
publish).
"""
