"""What of the published rows decides whether an image is asked about again, in order of its name, in S3.

``layout`` (which files belong to it, and which loads they hold), ``orders`` (by name, and by content),
``runs`` (sorted files: written, merged), ``lookup`` (entries by name, for one part of a listing after
another), ``upkeep`` (brought up to the published loads, made anew), ``known`` (what planning reads by name),
``names`` (all names below a prefix), ``contents`` (by content).

A copy of what `images` holds, never more: it may be lost or late at any time, and readers then take what it
lacks from the tables.
"""
