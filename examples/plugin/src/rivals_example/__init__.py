"""A family, a step and a source for rivals."""
