"""The page of the numbers from verdicts, which can be mailed: ``charts`` and ``page``."""
