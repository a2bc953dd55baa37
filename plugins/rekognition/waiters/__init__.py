"""What each state of a job, a project or a version means to somebody who waits.

``rekognition.json`` (the table) and ``states`` (the same in Python).
"""
