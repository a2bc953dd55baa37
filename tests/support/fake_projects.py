"""Projects and versions of the fake Rekognition: names, states and refusals, no training."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any]]
PREFIX = "arn:aws:rekognition:us-east-1:123456789012:project"


@dataclass
class FakeProjects:
    """Part of :class:`support.fake_rekognition.FakeRekognition`."""

    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The statuses a version goes through, one for each look; the last one stays.
    trainings: deque[list[str]] = field(default_factory=deque)
    status_message: str = "line 7: the label Wepons is unknown"
    # What an unknown version name gets: an empty page, or as an unknown project does.
    unknown_version_is_an_error: bool = False
    _born: itertools.count[int] = field(default_factory=lambda: itertools.count(1_700_000_000_000))

    def CreateProject(self, request: dict[str, Any]) -> Answer:
        name = request["ProjectName"]
        if name in self.projects:
            return 400, {"__type": "ResourceInUseException", "message": "Specified resource is in use."}
        arn = f"{PREFIX}/{name}/{next(self._born)}"
        kept = {"Feature": request["Feature"], "AutoUpdate": request["AutoUpdate"]}
        self.projects[name] = {"ProjectArn": arn, "Status": "CREATED", **kept}
        return 200, {"ProjectArn": arn}

    def DescribeProjects(self, request: dict[str, Any]) -> Answer:
        seen = [
            project
            for name, project in self.projects.items()
            if name in request.get("ProjectNames", self.projects)
            and project["Feature"] in request.get("Features", [])
        ]
        return 200, {"ProjectDescriptions": seen}

    def DeleteProject(self, request: dict[str, Any]) -> Answer:
        name = request["ProjectArn"].split("/")[1]
        if name not in self.projects:
            return 400, {"__type": "ResourceNotFoundException", "message": "no such project"}
        if any(arn.split("/")[1] == name for arn in self.versions):
            return 400, {"__type": "ResourceInUseException", "message": "Specified resource is in use."}
        del self.projects[name]
        return 200, {"Status": "DELETING"}

    def CreateProjectVersion(self, request: dict[str, Any]) -> Answer:
        project = request["ProjectArn"].split("/")[1]
        stem = f"{PREFIX}/{project}/version/{request['VersionName']}/"
        if any(arn.startswith(stem) for arn in self.versions):
            return 400, {"__type": "ResourceInUseException", "message": "Specified resource is in use."}
        arn = f"{stem}{next(self._born)}"
        life = self.trainings.popleft() if self.trainings else ["TRAINING_IN_PROGRESS", "TRAINING_COMPLETED"]
        self.versions[arn] = {
            "ProjectVersionArn": arn,
            "VersionDescription": request.get("VersionDescription"),
            "TrainingDataResult": {"Input": request["TrainingData"]},
            "_life": life,
        }
        return 200, {"ProjectVersionArn": arn}

    def DescribeProjectVersions(self, request: dict[str, Any]) -> Answer:
        name = request["ProjectArn"].split("/")[1]
        if name not in self.projects:
            return 400, {"__type": "ResourceNotFoundException", "message": "no such project"}
        seen = []
        for arn, version in list(self.versions.items()):
            parts = arn.split("/")
            if parts[1] == name and parts[3] in request["VersionNames"]:
                seen.append(self._seen(arn, version))
        if self.unknown_version_is_an_error and len(seen) < len(request["VersionNames"]):
            return 400, {"__type": "ResourceNotFoundException", "message": "no such version"}
        return 200, {"ProjectVersionDescriptions": seen}

    def DeleteProjectVersion(self, request: dict[str, Any]) -> Answer:
        version = self.versions.get(request["ProjectVersionArn"])
        if version is None:
            return 400, {"__type": "ResourceNotFoundException", "message": "no such version"}
        if version["_life"][0] == "TRAINING_IN_PROGRESS":
            return 400, {"__type": "ResourceInUseException", "message": "Specified resource is in use."}
        version["_life"] = ["DELETING", "gone"]
        return 200, {"Status": "DELETING"}

    def _seen(self, arn: str, version: dict[str, Any]) -> dict[str, Any]:
        life = version["_life"]
        shown = {k: v for k, v in version.items() if k != "_life" and v is not None} | {"Status": life[0]}
        if life[0] == "TRAINING_FAILED":
            shown["StatusMessage"] = self.status_message
        if len(life) > 1:
            life.pop(0)
        if life[0] == "gone":
            del self.versions[arn]
        return shown
