"""How a manifest gets its answers.

``backend`` (which of the two), ``bulk`` (a media analysis job a manifest), ``detect`` (a call an image),
``record`` (what either leaves for the publish).
"""
