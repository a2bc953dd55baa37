"""Off an image's way: weekly, or after a loss.

``compaction`` (small files merged), ``cleaning`` (what nothing needs any more), ``rebuild`` (all tables anew
from the kept answers), ``place`` (where they may be put), ``verify`` (published files against their SHA-256).
"""
