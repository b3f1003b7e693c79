"""A question becomes an answer with evidence.  Light at import."""
