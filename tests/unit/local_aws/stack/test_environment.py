from __future__ import annotations

from local_aws.stack.environment import inherited


def test_settings_alerts_and_metrics_reach_airflow_and_a_foreign_account_does_not() -> None:
    own = {
        "MODERATION_PRICE_TIERS": "[[null, 0.002]]",
        "MODERATION_ALERT_EMAIL": "ops@example.com",
        "AIRFLOW_CONN_SMTP_DEFAULT": "{}",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "PATH": "/bin",
    }
    foreign = {"AWS_PROFILE": "work", "AIRFLOW_HOME": "/x", "AIRFLOW__CORE__DAGS_FOLDER": "/y"}
    assert inherited(own | foreign | {"MODERATION_SOURCE": "s3://archive"}) == own
