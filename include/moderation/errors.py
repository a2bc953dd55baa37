"""What all errors have in common that a person must mend."""

from __future__ import annotations


class NeedsAPersonError(Exception):
    """Trying again would end in the same way; the text says what is wrong and what to do."""


class WarehouseError(Exception):
    """The warehouse cannot be read; the message names the file and what to do."""


class WarehouseMissingError(WarehouseError):
    """There is no such file yet."""


class WarehouseBusyError(WarehouseError):
    """Another process kept the file for longer than the wait."""
