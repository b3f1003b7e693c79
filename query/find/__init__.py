"""Rows of speech and screen text that may answer a question."""
