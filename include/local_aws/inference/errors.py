"""The two ways moderating a picture can go wrong."""

from __future__ import annotations

from typing import Final

INVALID_FORMAT: Final = "InvalidImageFormatException"
INVALID_PARAMETER: Final = "InvalidParameterException"
TOO_LARGE: Final = "ImageTooLargeException"


class ImageRejected(Exception):
    """A picture that Rekognition would refuse.

    `code` is the name of AWS's exception (`InvalidImageFormatException`, `ImageTooLargeException` or
    `InvalidParameterException`), `message` says what is wrong with this picture.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ModelFileError(Exception):
    """A model file that is missing, or is not the one this release was made with."""
