"""What evidence is, how it is encoded, written and found."""
