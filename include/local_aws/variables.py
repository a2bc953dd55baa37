"""The variables of the local stack, for ``docs/settings.md``; a test holds them true.

They are read in three places: the ports in ``stack.layout``, what ``make run`` is asked in ``stack.run``, the
server's in ``rekognition.configuration``. ``python -m local_aws.variables`` prints them as a section.
"""

from __future__ import annotations

import sys

from moderation.variables import page
from moderation.variables.local_stack import DEFAULT_PORTS, SERVICE_OF_PORT
from moderation.variables.row import Reader, Variable

_STACK = (Reader.STACK,)
_REKOGNITION = (Reader.REKOGNITION,)

PORTS = tuple(
    Variable(
        names=(name,),
        takes="1024 to 55535",
        default=f"`{port}`; `make run` moves to a free one when it is taken",
        meaning=f"Port of {SERVICE_OF_PORT[name]} on 127.0.0.1.",
        read_by=_STACK,
    )
    for name, port in DEFAULT_PORTS.items()
)

RUN = (
    Variable(
        names=("IMAGES",),
        takes="a folder",
        default="`include/local_aws/demo_images`",
        meaning="What `make run` moderates.",
        read_by=_STACK,
    ),
    Variable(
        names=("MIN_CONFIDENCE",),
        takes="a number, 0 to 100",
        default="as `MODERATION_MIN_CONFIDENCE` says",
        unit="percent",
        meaning="Labels below this confidence are not returned.",
        read_by=_STACK,
    ),
    Variable(
        names=("BACKEND",),
        takes="auto, bulk or detect",
        default="`auto`",
        meaning="Bulk jobs, or one call an image.",
        read_by=_STACK,
    ),
    Variable(
        names=("ADAPTER",),
        takes="champion, or the ARN of an adapter version",
        default="the base model",
        meaning="Which adapter answers; `champion` is the one that was promoted.",
        read_by=_STACK,
    ),
    Variable(
        names=("REDO",),
        takes="the id of a load",
        default="nothing",
        meaning="Instead of a folder: what this load could not moderate.",
        read_by=_STACK,
    ),
    Variable(
        names=("PERMANENT",),
        takes="1 or 0",
        default="`0`",
        meaning="1, with `REDO`: also images that were refused for their own sake (format, size).",
        read_by=_STACK,
    ),
)

PEOPLE = (
    Variable(
        names=("MODERATION_USERS",),
        takes="`name:role` separated by commas; roles viewer, user, op, admin",
        default="the admin alone",
        meaning="Who may log in to the Airflow of `make up` besides; it prints their passwords.",
        read_by=_STACK,
    ),
)

SERVER = (
    Variable(
        names=("LOCAL_REKOGNITION_CREDENTIALS",),
        takes="a JSON object of secret keys by access key",
        default="the pair `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`",
        meaning="Who may call.",
        read_by=_REKOGNITION,
        secret=True,
    ),
    Variable(
        names=("LOCAL_REKOGNITION_ADMIN_TOKEN",),
        takes="a line of text",
        default="made, and kept in the state folder's `admin-token`",
        meaning="Who may change settings and faults of the running server.",
        read_by=_REKOGNITION,
        secret=True,
    ),
    Variable(
        names=("LOCAL_REKOGNITION_SETTINGS",),
        takes="a JSON object, or `@file`",
        default="`{}`",
        meaning="The server's settings; see [the offline Rekognition](offline-rekognition.md#settings).",
        read_by=_REKOGNITION,
    ),
    Variable(
        names=("AWS_ENDPOINT_URL_S3",),
        takes="a URL",
        default="none: the server does not start",
        meaning="The S3 that holds manifests and images.",
        read_by=_REKOGNITION,
    ),
    Variable(
        names=("AWS_ACCESS_KEY_ID",),
        takes="an access key",
        default="none",
        meaning="With which the server reads that S3, and with which others may call it.",
        read_by=_REKOGNITION,
    ),
    Variable(
        names=("AWS_SECRET_ACCESS_KEY",),
        takes="its secret key",
        default="none",
        meaning="The other half of the pair.",
        read_by=_REKOGNITION,
        secret=True,
    ),
)

VARIABLES = (*RUN, *PEOPLE, *PORTS, *SERVER)


def markdown() -> str:
    """The section, ending with a line break."""
    return page.section(
        "The local stack",
        "`make run IMAGES=folder …` sets those of the stack; the offline Rekognition gets its own from it.",
        VARIABLES,
    )


if __name__ == "__main__":
    sys.stdout.write("\n" + markdown())
