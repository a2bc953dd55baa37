"""The database of verdicts and queues: SQLite for one machine, PostgreSQL for several people.

`open` is the door; `tables` says what is in it, `database` how it is read and written, `faults` what its
errors mean, `migrate` how an older one is brought up to date, by the steps in `migrations`. `checksums` stand
beside verdicts, `item_checksums` beside items and queues; `one_bit` puts right what they tell,
`mending` takes the rest from the table, or out.
"""
