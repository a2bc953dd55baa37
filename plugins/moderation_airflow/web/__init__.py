"""What Airflow's web server serves for us, behind its login.

``report_app`` (pages that tasks wrote), ``console_app`` (the console).
"""
