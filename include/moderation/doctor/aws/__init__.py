"""``moderation doctor --aws``: what of an AWS account stands in the way of a run, each with its remedy.

``account`` (who asks, and the clients), ``refusals`` (what AWS's errors mean, and who can help), then the
checks: ``caller`` (endpoint, credentials, clock), ``rekognition`` (region, bulk jobs, single calls, adapter),
``quotas``, ``places`` (buckets and prefixes, by a small real probe), ``tables`` (catalog, warehouses, spend),
``opt_out``; ``checks`` is their table. Nothing is paid for,
and nothing is written but the probe object, which goes again.
"""
