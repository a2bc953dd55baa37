"""``moderation adapter``: from verdicts to the adapter in use, by hand.

``parser`` (the words), ``learn`` (eligibility, train, evaluate), ``lack`` (queue),
``use`` (list, show, promote, rollback, retire, publish), ``shadow``.
"""
