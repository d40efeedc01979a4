"""The state machine under the name that guides use; it lives in :mod:`deriva_ml.execution.states`."""

from deriva_ml.errors import InvalidTransitionError
from deriva_ml.execution.states import TRANSITIONS, ExecutionStatus, allowed

__all__ = ["TRANSITIONS", "ExecutionStatus", "InvalidTransitionError", "allowed"]
