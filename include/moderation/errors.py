"""One root of all errors, and its three kinds: what is to be done about an error is its kind.

Orchestrators and the command line know the kinds and nothing else: a new class of error derives from one of
them and needs no line elsewhere. What several classes have in common besides, such as all errors of S3, is a
group: a class of no kind, for ``except``; none is ever raised.
"""

from __future__ import annotations

from typing import Any, TypeVar


class ModerationError(Exception):
    """What went wrong and what to do, in one text.

    :raises TypeError: the class has no kind.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> ModerationError:
        """Refuse a class of which nobody could tell what to do about it."""
        if not issubclass(cls, KINDS):
            raise TypeError(f"{cls.__name__} is a group of errors; raise one of its classes")
        return super().__new__(cls, *args, **kwargs)


class NeedsAPersonError(ModerationError):
    """A person must act: trying again would end in the same way."""


class TransientError(ModerationError):
    """It passes by itself: the same, tried again later, may end well."""


class DefectError(ModerationError):
    """A defect of this program: neither a person nor time mends it; it is to be reported."""


KINDS = (NeedsAPersonError, TransientError, DefectError)

Group = TypeVar("Group", bound=ModerationError)


def kin(group: type[Group], *, like: BaseException) -> type[Group]:
    """The class of a group that is of the same kind as the error that is its cause.

    :param group: has a class of its own for the kind; of several, the one defined first is meant.
    :param like: of no kind counts as a person's.
    """
    kind = next((kind for kind in KINDS if isinstance(like, kind)), NeedsAPersonError)
    return next(cls for cls in group.__subclasses__() if issubclass(cls, kind))


class WarehouseError(ModerationError):
    """The warehouse cannot be read or written; the text names it and what to do. A group."""


class WarehouseUnusableError(WarehouseError, NeedsAPersonError):
    """It is damaged, forbidden, or not what is asked for."""


class WarehouseUnavailableError(WarehouseError, TransientError):
    """It went away, or does not answer."""


class WarehouseMissingError(WarehouseError, NeedsAPersonError):
    """There is no such file yet."""


class WarehouseBusyError(WarehouseError, TransientError):
    """Another process kept it for longer than the wait."""
