"""The index over all videos of an archive."""
