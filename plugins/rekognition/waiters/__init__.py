"""What each state of a job, a project or a version means to somebody who waits.

``rekognition.json`` (the table), ``states`` (the same in Python), ``looks`` and the
``clock`` that waits go by.
"""
