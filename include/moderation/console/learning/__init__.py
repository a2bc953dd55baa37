"""What the pages of adapters show, made from the room ``adapters``.

``eligible`` (labels that can be trained, and the queues that fill the rest), ``training`` (how far one is),
``flips`` (images that the two models tell apart), ``drawn`` (thresholds as SVG), ``choices`` (what a run
may start with), ``in_use`` (how an adapter does in production).
"""
