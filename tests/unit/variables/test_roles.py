from __future__ import annotations

import pytest

from moderation.errors import ModerationError
from moderation.variables.machine import MachineSettings
from moderation.variables.roles import GLUE, S3_TABLES, RoleOf

ARN = "arn:aws:iam::111122223333:role/reads-images"
CHINA = "arn:aws-cn:iam::111122223333:role/path/of/it=1,2@x"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"s3://images={ARN}", [RoleOf("images", ARN)]),
        (f" s3://images/ = {ARN} ,glue={CHINA}", [RoleOf("images", ARN), RoleOf(GLUE, CHINA)]),
        (f"s3://my.images={ARN}?external_id=a:b/c,d", [RoleOf("my.images", ARN, "a:b/c,d")]),
        (f"glue={CHINA}, s3://glue={ARN}", [RoleOf(GLUE, CHINA), RoleOf("glue", ARN)]),
        (f"s3://images={ARN}, s3tables={CHINA}", [RoleOf("images", ARN), RoleOf(S3_TABLES, CHINA)]),
    ],
)
def test_each_place_has_its_role(text, found):
    assert MachineSettings.from_env({"MODERATION_ROLES": text}).roles == tuple(found)


def test_a_place_has_one_role():
    with pytest.raises(ModerationError, match="named twice"):
        MachineSettings.from_env({"MODERATION_ROLES": f"s3://images={ARN},s3://images/={CHINA}"})


@pytest.mark.parametrize(
    "text",
    [
        ARN,
        f"images={ARN}",
        f"s3://images/folder={ARN}",
        f"rekognition={ARN}",
        "s3://images=reads-images",
        f"s3://images={ARN},",
        f"s3://images={ARN}?external_id=",
        f"s3://images={ARN}?session=1",
        f"s3://images={ARN} s3://work={ARN}",
        "s3://images=arn:aws:iam::111122223333:user/anna",
    ],
)
def test_what_is_no_list_of_roles_is_refused_and_says_which_entry(text):
    with pytest.raises(ModerationError, match=r"MODERATION_ROLES.*entry [12] is none of"):
        MachineSettings.from_env({"MODERATION_ROLES": text})
