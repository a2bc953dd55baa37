"""Custom Moderation adapters.

``status`` (whether a version can answer at all); from verdicts to a training set: ``decided`` (what people
found), ``eligibility``, ``near`` (near-duplicates), ``split``, ``training_set``, ``store`` (in S3);
whether it is better: ``exact`` (statistics), ``evaluation``, ``gate``; what is used:
``registry`` (who promoted what), ``champion`` (what a run gets).
"""
