"""Which C++ compiler builds the library. Needs nothing installed."""

from __future__ import annotations

from moderation.variables.machine import MachineSettings


def find_compiler() -> str | None:
    """Path of the C++ compiler: ``CXX`` when set, else the first of c++, g++, clang++ on the path.

    :raises moderation.settings.SettingsError: a variable of the machine has a value that cannot be used.
    """
    import shutil  # noqa: PLC0415 - needed once a machine

    chosen = MachineSettings.from_env().compiler
    names = (chosen,) if chosen else ("c++", "g++", "clang++")
    return next((found for name in names if (found := shutil.which(name))), None)
