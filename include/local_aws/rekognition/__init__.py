"""The offline Rekognition: an HTTP server on loopback that any AWS SDK or the AWS CLI talks to.

``wire`` (AWS JSON 1.1, signatures, AWS's own constraints), ``operations`` (what each API operation does),
``images`` (one image, from S3 to its answer), ``jobs`` (media analysis jobs and the state that survives a
kill). Beside them ``app`` (a request's way through all of it), ``service`` (what a running server has),
``settings``, ``configuration`` and ``limits``, ``throttle`` (quotas), ``adapters``, ``faults`` (misbehaviour
on demand), ``admin`` (the ``/_local/`` side), ``launch`` (starting it).
"""
