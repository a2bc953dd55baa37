from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import pytest

import moderation
from moderation import errors
from moderation.errors import KINDS, DefectError, ModerationError, NeedsAPersonError, TransientError, kin
from moderation.publish.commit import PublishBlockedError, PublishError, PublishInterruptedError
from moderation.storage.s3_objects import S3Error, S3Refused, S3Unavailable, s3_error

ENTRY_POINTS = ("__main__",)


def modules():
    for found in pkgutil.walk_packages(moderation.__path__, "moderation."):
        if found.name.rpartition(".")[2] not in ENTRY_POINTS:
            yield importlib.import_module(found.name)


def exception_classes():
    classes = {
        value
        for module in modules()
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, BaseException)
        and value.__module__.startswith("moderation")
    }
    return sorted(classes, key=lambda cls: f"{cls.__module__}.{cls.__name__}")


CLASSES = exception_classes()
GROUPS = [cls for cls in CLASSES if cls is not ModerationError and not issubclass(cls, KINDS)]
OF_A_KIND = [cls for cls in CLASSES if issubclass(cls, KINDS)]


def names(classes):
    return [cls.__name__ for cls in classes]


def test_all_modules_were_looked_into():
    assert {"PlanError", "S3Unavailable", "LeaseBusy", "TablesDamagedError", "QueryError"} <= set(
        names(CLASSES)
    )


@pytest.mark.parametrize("cls", OF_A_KIND, ids=names(OF_A_KIND))
def test_an_error_has_exactly_one_kind(cls):
    assert sum(issubclass(cls, kind) for kind in KINDS) == 1


@pytest.mark.parametrize("cls", [*GROUPS, ModerationError], ids=names([*GROUPS, ModerationError]))
def test_what_has_no_kind_is_a_group_that_nobody_can_raise(cls):
    assert issubclass(cls, ModerationError)
    assert cls.__subclasses__()
    with pytest.raises(TypeError, match="is a group of errors"):
        cls("no")


@pytest.mark.parametrize("cls", OF_A_KIND, ids=names(OF_A_KIND))
def test_an_error_says_the_same_in_another_process(cls):
    error = (
        s3_error("NoSuchKey", bucket="b", key="k", action="read", cause="no") if cls is S3Refused else None
    )
    error = s3_error("SlowDown", bucket="b", action="list", cause="no") if cls is S3Unavailable else error
    error = error or cls("why")

    back = pickle.loads(pickle.dumps(error))

    assert (type(back), str(back), vars(back)) == (cls, str(error), vars(error))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, NeedsAPersonError),
        ("NoSuchBucket", 404, NeedsAPersonError),
        ("NoSuchKey", 404, NeedsAPersonError),
        ("NoCredentials", 0, NeedsAPersonError),
        ("ExpiredToken", 400, NeedsAPersonError),
        ("ACodeOfTomorrow", 400, NeedsAPersonError),
        ("ACodeOfTomorrow", 599, TransientError),
        ("SlowDown", 503, TransientError),
        ("502", 502, TransientError),
        ("Unreachable", 0, TransientError),
    ],
)
def test_the_kind_of_an_error_of_s3_is_that_of_its_code(code, status, kind):
    error = s3_error(code, bucket="b", action="list", cause="no", status=status)

    assert isinstance(error, kind)
    assert isinstance(error, S3Error)
    assert error.code == code


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (NeedsAPersonError("no"), PublishBlockedError),
        (TransientError("no"), PublishInterruptedError),
        (KeyError("no"), PublishBlockedError),
    ],
)
def test_an_error_that_wraps_another_is_of_its_kind(cause, expected):
    assert kin(PublishError, like=cause) is expected


def test_the_kinds_are_three():
    assert (NeedsAPersonError, TransientError, DefectError) == KINDS
    assert set(KINDS) <= set(errors.ModerationError.__subclasses__())
