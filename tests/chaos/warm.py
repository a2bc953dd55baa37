"""Imports once what the attempts would each import; only the process they are forked from loads this."""

from __future__ import annotations

import boto3.s3.inject
import duckdb
import pyiceberg.catalog.sql
import pyiceberg.io.pyarrow
import sqlalchemy.orm
from airflow.providers.amazon.aws.waiters import base_waiter
from airflow.sdk.execution_time import supervisor

from chaos import attempt, stages
from moderation.report.page import view
from moderation.sources import local_folder
from support import aws_models

# Airflow's models are all imported when the first mapper of the process, here pyiceberg's, is configured.
sqlalchemy.orm.configure_mappers()

aws_models.read_once()
for service in ("s3", "rekognition"):
    boto3.session.Session("none", "none", region_name="us-east-1").client(service).close()
for template in view.environment().list_templates(extensions=["j2"]):
    view.environment().get_template(template)

__all__ = ["attempt", "base_waiter", "boto3", "duckdb", "local_folder", "pyiceberg", "stages", "supervisor"]
