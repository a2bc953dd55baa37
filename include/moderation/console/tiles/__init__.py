"""Images made small for a browser: ``kept`` (made once, kept by content; decoded by `sources.decoding`)."""
