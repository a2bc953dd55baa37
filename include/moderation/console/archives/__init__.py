"""What the pages of archives show, made from the room ``archive``.

``known`` (every archive, looked up seldom), ``drawn`` (images over time as SVG).
"""
