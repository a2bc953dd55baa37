"""Images of one content are paid for once: ``answers`` (what a copy gets, as rows), ``known`` (answers that
earlier loads have published), ``sharing`` (which image of a content is sent, and which are its copies).
Before that, ``deduplicate`` (each image once, however often it is listed).
"""
