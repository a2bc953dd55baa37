"""What goes over the wire, before it is a call and after it is an answer.

``http`` and ``intake`` (bytes), ``auth`` (whose), ``protocol`` (JSON 1.1), ``model``, ``validation`` and
``java_regex`` (AWS's own constraints), ``errors`` (what is answered instead).
"""
