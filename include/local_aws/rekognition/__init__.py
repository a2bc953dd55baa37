"""The offline Rekognition: an HTTP server on loopback that any AWS SDK or the AWS CLI talks to.

The parts, each in its own module: ``protocol`` and ``validation`` (AWS JSON 1.1, driven by botocore's own
service model), ``auth`` (Signature V4), ``throttle`` and ``limits`` (published quotas), ``store`` (state that
survives a kill), ``scheduler``, ``job_run`` and ``pool`` (the work), ``faults`` (misbehaviour on demand),
``operations`` (what each API operation does), ``admin`` (the ``/_local/`` side), ``launch`` (starting it).
"""
