"""Pictures that may answer a question."""
