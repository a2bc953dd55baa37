"""An archive in chunks.

What is kept of it (`state`), how it is cut (`cutting`), what has been paid (`spend`), which chunk is next
(`conductor`, which decides and does nothing else; `step`, which does), what became of a chunk and of all
(`outcome`), what people ask of it (`orders`), how far it is (`progress`), and what is to come month by month
(`forecast`).
"""
