"""Verdicts from elsewhere.

`lines` reads a file, `answers` looks up what the model said, `imported` joins the two.
"""
