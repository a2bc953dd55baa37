"""Credentials that end: who has which (``keyring``), and ``AssumeRole`` (``endpoint``)."""
