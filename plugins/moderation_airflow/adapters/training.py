"""A training that everybody can see from its first moment on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moderation.settings import Settings
from moderation_airflow import failure_reason
from rekognition.projects.operators import RekognitionCreateProjectVersionOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue


class TrainAdapterOperator(RekognitionCreateProjectVersionOperator):
    """
    Train a set once, and note in the registry who asked for it as soon as it has begun, before any wait.

    :param set_uri: the training set. (templated)
    """

    template_fields: Sequence[str] = (*RekognitionCreateProjectVersionOperator.template_fields, "set_uri")

    def __init__(self, *, set_uri: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.set_uri = set_uri

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> str:
        """Note that it has begun, then wait."""
        from moderation.adapters import stages  # noqa: PLC0415 - keeps parsing fast
        from moderation.publish.adapters import publish_after  # noqa: PLC0415

        settings = Settings.from_env()
        with failure_reason.kept():
            stages.begun(str(external_id), self.set_uri, person=who_asked(context), settings=settings)
            publish_after(settings)
        return super().poll_until_complete(external_id, context)


def who_asked(context: Context) -> str:
    """Who started the run; the Dag, where nobody did."""
    return context["dag_run"].triggering_user_name or f"Dag {context['ti'].dag_id}"
