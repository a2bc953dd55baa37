"""What people say of the answers; knows neither web nor Airflow. In reading order:

`verdict` is one fact that a person states about a content, `effective` the one rule for what several people
say. `log` is the append-only log of them, kept in `state`, a database of its own; `mark` notices its loss.
`queue` and `queues` are what is looked at next, `mixing` what is put among it, `work` who holds what,
`disputes` what people disagree about. `sampling` draws, and `fill` takes the items from the published tables.
`statistics` tells how good the model is.
"""
