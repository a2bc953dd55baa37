"""Airflow's scheduler with the pipeline imported beforehand.

LocalExecutor forks a process for each task. What the scheduler has imported the fork does not import again:
on two cores that is some seconds for each task of a run.
"""

from __future__ import annotations

import sys

from airflow.__main__ import main

import moderation.stages
import rekognition.operators

PRELOADED = (rekognition.operators, moderation.stages)

if __name__ == "__main__":
    sys.argv[0] = "airflow"
    main()
