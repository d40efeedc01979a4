"""Model functions of the working example."""
