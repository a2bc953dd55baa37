"""Nemesis: the pipeline's real stages, killed and disturbed by seed; ``python -m chaos --seeds 200``."""
