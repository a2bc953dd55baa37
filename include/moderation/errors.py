"""What all errors have in common that a person must mend."""

from __future__ import annotations


class NeedsAPersonError(Exception):
    """Trying again would end in the same way; the text says what is wrong and what to do."""
