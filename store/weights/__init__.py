"""Weights of models: known sets, the hub, files, and their hashes."""
