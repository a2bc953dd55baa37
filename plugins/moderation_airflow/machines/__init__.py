"""What Airflow's processes are on the machine they run on.

``warm`` starts them with the pipeline imported, ``several_hosts`` refuses files where others work, too.
"""
