"""Off an image's way: weekly, or after a loss.

``compaction`` (small files merged), ``cleaning`` (what nothing needs any more), ``rebuild`` (all tables anew
from the kept answers), ``place`` (where they may be put), ``standing`` (tables of no load),
``shadow_answers`` (an erasure there), ``verify`` (published files against their SHA-256), ``erasure`` (images
taken out of all of it on request).
"""
