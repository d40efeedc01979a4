"""The states and their store under the name that guides use; see :mod:`deriva_ml.execution.store`."""

from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore

__all__ = ["ExecutionStatus", "ExecutionStore"]
