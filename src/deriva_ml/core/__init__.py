"""Names that guides import from ``deriva_ml.core``."""
