"""What goes wrong in the code of users: told with their traceback, without ours around it."""

from __future__ import annotations

import traceback
from types import TracebackType

from hydra.errors import InstantiationException

from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLException, DerivaMLExecutionError
from deriva_ml.workflow.source import PACKAGE

_FRAMEWORKS = ("hydra", "hydra_zen", "omegaconf", "joblib", "submitit", "importlib")


class UserCodeError(DerivaMLExecutionError):
    """A model function raised; the message holds its traceback, ``__cause__`` the error itself."""


class users_code:
    """Translate what users' code raises into one error that shows where in their files it happened.

    deriva-ml's own errors pass: they say what to do.
    """

    def __init__(self, what: object, kind: type[DerivaMLException] = DerivaMLConfigurationError) -> None:
        self._what = what
        self._kind = kind

    def __enter__(self) -> None:
        """Nothing needs to be prepared."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the translation of an exception of users' code."""
        meant = _cause(error)
        if isinstance(meant, DerivaMLException) and meant is not error:
            raise meant
        if isinstance(meant, Exception) and not isinstance(meant, DerivaMLException):
            raise self._kind(f"{self._what}:\n{traceback_of(meant)}") from error


def _cause(error: BaseException | None) -> BaseException | None:
    """Return what went wrong, below Hydra's statement that something did."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def traceback_of(error: BaseException) -> str:
    """Return the error's traceback without the frames of deriva-ml and of the frameworks between it and the user's code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()


def _is_ours(file: str) -> bool:
    inside = file.startswith(str(PACKAGE)) and not file.startswith(str(PACKAGE / "demo"))
    importing = file.startswith("<frozen") or file.endswith("/importlib/__init__.py")
    return inside or importing or any(f"/site-packages/{name}/" in file for name in _FRAMEWORKS)
