"""``python -m moderation.native``: build the compiled parser and say what came of it. Never fails."""

from __future__ import annotations

import time

from moderation import native


def main() -> None:
    """Build, load, report in one line."""
    if not native.is_enabled():
        print("MODERATION_NATIVE=0: results are parsed in Python.")
        return
    present = any(path.is_file() for path in native.library_paths())
    started = time.monotonic()
    try:
        path = native.build()
    except native.BuildError as error:
        print(f"The fast parser was not built; results are parsed in Python, several times slower. {error}")
        return
    if native.load() is None:
        print(f"The fast parser does not load ({path}); results are parsed in Python, several times slower.")
    elif present:
        print(f"The fast parser is there: {path}")
    else:
        print(f"Built the fast parser in {time.monotonic() - started:.1f} s: {path}")


main()
