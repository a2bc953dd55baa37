"""The console: a web application in which people look at what was found.

In reading order: `gate` (who asks, what they may do; handed in), `load_index` (a load's images as a file that
answers at once), `selection` (what a person chose to see, as an address and as SQL), `found` (counts and
pages of a selection), `history` (loads, and an image's answers over time), `decode` and `decoders` (images
made small by processes of their own), `tiles` (these, kept), `pages` and `images` (the routes), `application`
(all of it as one application), `alone` (served without Airflow).

It knows nothing of Airflow: `plugins/moderation_airflow/console_app.py` hands Airflow's login in.
"""
