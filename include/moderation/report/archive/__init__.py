"""The estimate of an archive as a page: ``page`` writes it, ``charts`` draws what a month costs."""
