"""An adapter once it is in use.

``sample`` (what people are to look at of its answers), ``production`` (its numbers beside those of what it
replaced, and whether to roll back), ``reminder`` (when another training may pay off).
"""
