"""``python -m moderation.flatten.native``: build the compiled parser and say what came of it.

Fails only if a variable has a bad value.
"""

from __future__ import annotations

import sys
import time

from moderation.flatten.native import library
from moderation.variables.table import SettingsError


def main() -> None:
    """Build, load, report in one line."""
    try:
        enabled = library.is_enabled()
    except SettingsError as error:
        sys.exit(str(error))
    if not enabled:
        print("MODERATION_NATIVE=0: results are parsed in Python.")
        return
    present = any(path.is_file() for path in library.library_paths())
    started = time.monotonic()
    try:
        path = library.build()
    except library.BuildError as error:
        print(f"The fast parser was not built; results are parsed in Python, several times slower. {error}")
        return
    if library.load() is None:
        print(f"The fast parser does not load ({path}); results are parsed in Python, several times slower.")
    elif present:
        print(f"The fast parser is there: {path}")
    else:
        print(f"Built the fast parser in {time.monotonic() - started:.1f} s: {path}")


if __name__ == "__main__":
    main()
