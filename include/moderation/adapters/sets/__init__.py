"""From verdicts to a training set.

``verdicts`` (what people and the base model said), ``decided`` (one content), ``eligibility``, ``near``
(near-duplicates), ``split``, ``training_set``, ``images``, ``store`` (in S3), ``erased`` (what is forgotten),
``to_decide`` (queues of what a set lacks), ``since`` (what people said otherwise after it was made).
"""
