"""Archives in object storage."""
