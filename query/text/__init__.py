"""The words of questions and rows: stems, numbers, likeness."""
