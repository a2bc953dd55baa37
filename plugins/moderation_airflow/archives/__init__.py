"""What Airflow is told of the runs that work off archives."""
