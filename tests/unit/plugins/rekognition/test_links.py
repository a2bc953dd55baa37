from __future__ import annotations

import pytest

from rekognition.links import RekognitionMediaAnalysisJobsLink, RekognitionMediaAnalysisOutputLink, is_aws


def test_the_console_link_leads_to_the_region_and_partition_of_the_job() -> None:
    link = RekognitionMediaAnalysisJobsLink()
    assert link.format_link(region_name="eu-west-1", aws_domain=link.get_aws_domain("aws"), job_id="j") == (
        "https://console.aws.amazon.com/rekognition/home?region=eu-west-1#/bulk-analysis"
    )


def test_an_output_folder_of_any_name_makes_a_valid_link() -> None:
    link = RekognitionMediaAnalysisOutputLink()
    made = link.format_link(
        region_name="us-east-1", aws_domain="aws.amazon.com", bucket="bucket", prefix="a&b#c ü/"
    )
    assert made == (
        "https://console.aws.amazon.com/s3/buckets/bucket?region=us-east-1&prefix=a%26b%23c%20%C3%BC/"
    )


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://rekognition.us-east-1.amazonaws.com", True),
        ("https://rekognition-fips.us-east-1.amazonaws.com", True),
        ("https://vpce-1.rekognition.us-east-1.vpce.amazonaws.com", True),
        ("https://rekognition.cn-north-1.amazonaws.com.cn", True),
        ("http://127.0.0.1:4571", False),
        ("https://amazonaws.com.example.org", False),
    ],
)
def test_only_a_job_at_aws_has_a_console_and_only_its_quotas_are_asked_for(
    endpoint: str, expected: bool
) -> None:
    assert is_aws(endpoint) is expected
