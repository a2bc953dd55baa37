"""The detect backend: paced DetectModerationLabels calls that leave the files of a bulk job.

``run`` is the whole of it, ``records`` its side of publishing. The parts: ``request`` (what is asked),
``manifest`` (the images), ``quota``, ``pacing`` and ``budget`` (when), ``calls`` (one image), ``analysis``
(all of them), ``checkpoint`` (what is already paid for), ``output`` (the two files), ``eligibility`` (whether
bulk jobs are open at all), ``errors``.
"""
