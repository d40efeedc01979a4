"""``ExecutionRecord`` under the path that guides use; see :mod:`deriva_ml.execution.record`."""

from deriva_ml.execution.record import ExecutionRecord

__all__ = ["ExecutionRecord"]
