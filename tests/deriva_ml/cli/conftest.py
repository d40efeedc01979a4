"""The laboratory of these tests."""

from provenance_lab import lab, traffic

__all__ = ["lab", "traffic"]
