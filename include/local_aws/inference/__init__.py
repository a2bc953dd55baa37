"""Moderates images on the CPU with small open networks, in the shape of Rekognition's answers.

>>> Moderator().moderate(Path("rifle.png").read_bytes()).labels[0].name  # doctest: +SKIP
'Weapons'
"""

from local_aws.inference.decode import ImageLimits
from local_aws.inference.errors import ImageRejected, ModelFileError
from local_aws.inference.moderator import MODEL_VERSION, Moderation, Moderator
from local_aws.inference.rules import ContentType, Label

__all__ = [
    "MODEL_VERSION",
    "ContentType",
    "ImageLimits",
    "ImageRejected",
    "Label",
    "ModelFileError",
    "Moderation",
    "Moderator",
]
