"""Moderates images on the CPU with small open networks, in the shape of Rekognition's answers.

>>> from local_aws.inference.moderator import Moderator
>>> Moderator().moderate(Path("rifle.png").read_bytes()).labels[0].name  # doctest: +SKIP
'Weapons'

``moderator`` is the whole of it. ``decode`` (with ``jpeg_file``, ``png_file``, ``containers``, ``weight``)
reads an image within bounds, ``slots`` shares the processors, ``tensors`` and ``networks`` look at it,
``rules`` says what that means in AWS's taxonomy, ``adapters`` correct it; ``errors`` and ``memory``.
"""
