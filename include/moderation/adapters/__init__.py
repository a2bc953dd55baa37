"""Custom Moderation adapters, from what people decided to the one in use.

``status`` (whether a version can answer at all), ``sets`` (training sets), ``training``;
whether it is better: ``exact`` (statistics), ``curves`` (at other thresholds), ``evaluation``, ``gate``;
what is used: ``registry`` (who promoted what; ``mark`` proves that
it is there), ``champion`` (what a run gets), ``mid_run`` (whether it still
answers), ``older`` (asked anew); ``after`` (how it does in use), ``shadow`` (beside it, on a sample);
``erasure`` (in all of these).
"""
