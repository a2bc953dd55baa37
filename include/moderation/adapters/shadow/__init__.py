"""An adapter beside the one in use, on a sample of the archive and with a budget of its own.

``sample`` (which images, at what price), ``budget`` (what may still be asked), ``answers`` (what was
answered), ``comparison`` (where the two differ), ``erased`` (images that are to be forgotten). The answers
never reach the ledger or ``images``.
"""
