"""Data sets, scorers and reports."""
