"""How good the model is, told from verdicts: pure functions over tables.

``frames`` (what is counted from), ``judged`` (makes it of the published tables) with ``answered`` (of what
nobody spoke of, too), ``numbers`` (all of it in one call), of ``counts``, ``samples`` and ``rates`` (totals
and shares with intervals), ``agreement`` (between people), ``training`` (what is missing for an adapter);
``intervals`` and ``special`` (the mathematics).
"""
