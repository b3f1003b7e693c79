"""Batches of questions and their answers."""
