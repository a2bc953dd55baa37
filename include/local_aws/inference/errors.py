"""The two ways moderating a picture can go wrong."""

from __future__ import annotations

from typing import Final

INVALID_FORMAT: Final = "InvalidImageFormatException"
INVALID_PARAMETER: Final = "InvalidParameterException"
TOO_LARGE: Final = "ImageTooLargeException"

MESSAGES: Final = {
    INVALID_FORMAT: "Request has invalid image format.",
    INVALID_PARAMETER: "Request has invalid parameters.",
    TOO_LARGE: "Image size is too large.",
}


class ImageRejected(Exception):
    """A picture that Rekognition would refuse.

    `code` is the name of AWS's exception (`InvalidImageFormatException`, `ImageTooLargeException` or
    `InvalidParameterException`), `message` AWS's text for it (developer guide, "Error handling"), unless
    another is given; `reason` says what is wrong with this picture, which AWS's text does not.
    """

    def __init__(self, code: str, reason: str, *, message: str | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.message = MESSAGES[code] if message is None else message


class ModelFileError(Exception):
    """A model file that is missing, or is not the one this release was made with."""
