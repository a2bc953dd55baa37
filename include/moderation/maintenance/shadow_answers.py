"""An erasure in what shadows answered."""

from __future__ import annotations

import logging
from collections.abc import Collection

from moderation.adapters.shadow.erased import concerned
from moderation.adapters.shadow.sample import ShadowError
from moderation.maintenance.standing import forget_what_was
from moderation.publish.shadow_answers import forget_shadow_answers, publish_shadow
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.standing import SHADOW_ANSWERS

_log = logging.getLogger(__name__)


def forget_in_shadows(settings: Settings, contents: Collection[str]) -> int:
    """Take contents out of the table `shadow_answers` and its older snapshots; may be repeated.

    Before, the shadows that asked about them publish what they know of others: an erasure ends them.

    :returns: rows that are gone.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    """
    with s3_objects.open_client(settings) as s3:
        shadows, _ = concerned(s3, settings, contents)
    for shadow in shadows:
        try:
            publish_shadow(settings, shadow.shadow_id)
        except ShadowError as error:  # an erasure waits for no repair
            _log.warning("what shadow %s knew of other images is lost: %s", shadow.shadow_id, error)
    gone = forget_shadow_answers(settings, contents)
    forget_what_was(settings, SHADOW_ANSWERS)  # also of a try that was killed before it
    return gone
