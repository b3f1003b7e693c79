"""Everything that a person or a scheduler starts; the only place that wires."""
