"""A video file becomes stages.  Knows no Ray and no question."""
