"""The console: a web application in which people look at what was found.

In reading order: `gate` (who asks, what they may do; handed in), `index` (what is looked up), `tiles` (images
made small), `shared` (both, for all requests), `pages` (the routes), `application` (all of it as one
application), `alone` (served without Airflow).

It knows nothing of Airflow: `plugins/moderation_airflow/web/console_app.py` hands Airflow's login in.
"""
