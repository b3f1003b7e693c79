"""Ingest runs: what to do, workers, ledgers and reports."""
