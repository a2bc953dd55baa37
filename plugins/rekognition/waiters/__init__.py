"""What each state of a job means to somebody who waits.

``rekognition.json`` (the table) and ``states`` (the same in Python).
"""
