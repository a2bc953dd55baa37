"""Images forgotten in what people decided and in all that was made of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.adapters.erasure import Forgotten


def forget_decisions(
    settings: Settings, contents: Collection[str], source_refs: Collection[str]
) -> tuple[int, int, Forgotten]:
    """Forget images in verdicts, training sets, copies and shadows; may be repeated, also after a kill.

    :param contents: as verdicts have them.
    :param source_refs: keys, whose other keys are forgotten with them.
    :returns: how many verdicts were changed, rows of shadows gone, and what came of it among adapters.
    """
    from moderation import stages  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.adapters.erasure import forget  # noqa: PLC0415 - as above
    from moderation.maintenance.shadow_answers import forget_in_shadows  # noqa: PLC0415 - as above
    from moderation.publish.verdicts import restore  # noqa: PLC0415 - as above
    from moderation.review import mark  # noqa: PLC0415 - as above

    with mark.opened(settings) as state:
        restore(settings, state.log)  # else what only the table knows would stay
        names = {*contents, *state.log.contents_of(source_refs)}
        refs = {said.source_ref for said in state.log.of_contents(names) if said.source_ref}
        refs |= set(source_refs)
        # Before the log, which alone may know the contents of a key when this is killed and run again;
        # and after it, for what was made of the log meanwhile.
        shadowed = forget_in_shadows(settings, names)
        forget(settings, names, refs)
        changed = state.log.erase(contents=names, source_refs=source_refs)
        stages.publish_verdicts(state, settings=settings)
        return changed, shadowed, forget(settings, names, refs)
