"""What adapters need of the networks: ``views`` (changed copies of a picture), ``learned`` (corrected scores)."""
