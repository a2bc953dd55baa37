"""What adapters need: ``views`` (changed copies of a picture), ``learned`` (corrected scores)."""
