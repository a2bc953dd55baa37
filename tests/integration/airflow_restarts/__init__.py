"""Tests of one running Airflow: a package, for else it would go on, and work, to the end of the suite."""
