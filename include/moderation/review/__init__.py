"""What people decide about answers: kept, queued, sampled and counted.

``statistics`` (numbers from verdicts, with their intervals).
"""
