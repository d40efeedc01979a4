"""Every way in which deriva-ml says that something went wrong.

A class exists where a caller would act differently; facts are attributes, and the message says what to do next.

Example:
    >>> from deriva_ml.errors import DerivaMLInvalidTerm
    >>> DerivaMLInvalidTerm("Workflow_Type", "Trainin").term
    'Trainin'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class DerivaMLException(Exception):
    """The root of all errors that deriva-ml raises on purpose."""


# ----------------------------------------------------------------------------------------------------- configuration


class DerivaMLConfigurationError(DerivaMLException):
    """The set-up is wrong: a folder, a host, an option."""


class DerivaMLSchemaError(DerivaMLConfigurationError):
    """The catalog's model is not what deriva-ml needs."""


class DerivaMLSchemaPinned(DerivaMLConfigurationError):
    """The model that this workspace keeps is pinned, and is not read again unless that is forced."""


class DerivaMLAuthenticationError(DerivaMLConfigurationError):
    """The server does not know this client, or does not let it in."""


class DerivaMLOfflineError(DerivaMLConfigurationError):
    """The server cannot be reached, or the work asked for needs one. ``doubtful``: what was asked may have been done."""

    def __init__(self, message: str, *, doubtful: bool = False) -> None:
        super().__init__(message)
        self.doubtful = doubtful


# -------------------------------------------------------------------------------------------------------------- data


class DerivaMLDataError(DerivaMLException):
    """Something named in the call is not as the call needs it."""


class DerivaMLNotFoundError(DerivaMLDataError):
    """Something named in the call does not exist."""


class DerivaMLDatasetNotFound(DerivaMLNotFoundError):
    """No dataset has this RID."""

    def __init__(self, dataset_rid: str, message: str | None = None) -> None:
        super().__init__(message or f"No dataset has the RID {dataset_rid}. `ml.find_datasets()` lists the datasets.")
        self.dataset_rid = dataset_rid


class DerivaMLTableNotFound(DerivaMLNotFoundError):
    """No table has this name."""

    def __init__(self, table_name: str, message: str | None = None, known: Iterable[str] = ()) -> None:
        listing = ", ".join(sorted(known))
        super().__init__(
            message or f"No table is named {table_name!r}." + (f" There are: {listing}." if listing else "")
        )
        self.table_name = table_name


class DerivaMLFeatureNotFound(DerivaMLNotFoundError):
    """This table has no such feature."""

    def __init__(self, table: str, feature: str, message: str | None = None) -> None:
        super().__init__(
            message or f"Table {table!r} has no feature {feature!r}. `ml.find_features({table!r})` lists them."
        )
        self.table = table
        self.feature = feature


class DerivaMLInvalidTerm(DerivaMLNotFoundError):
    """The vocabulary has no such term."""

    def __init__(self, vocabulary: str, term: str, msg: str | None = None) -> None:
        super().__init__(
            msg
            or f"{vocabulary} has no term {term!r}. `ml.list_vocabulary_terms({vocabulary!r})` lists the terms, "
            f"`ml.add_term({vocabulary!r}, {term!r}, description)` adds one."
        )
        self.vocabulary = vocabulary
        self.term = term


class DerivaMLRidsNotFound(DerivaMLNotFoundError):
    """Some RIDs name no row of the catalog."""

    def __init__(self, missing_rids: Iterable[str], message: str | None = None) -> None:
        self.missing_rids = sorted(missing_rids)
        super().__init__(
            message
            or f"No row of this catalog has the RID {', '.join(self.missing_rids)}. A RID belongs to one catalog: is it whole, and is this the "
            "catalog (`--home`, `--host`, `--catalog`)?"
        )


class DerivaMLNoAssociationException(DerivaMLNotFoundError):
    """No association table joins these two tables."""

    def __init__(self, table1: str, table2: str) -> None:
        super().__init__(f"No association table joins {table1!r} and {table2!r}.")
        self.table1 = table1
        self.table2 = table2


class DerivaMLAmbiguousAssociationException(DerivaMLDataError):
    """More than one association table joins these two tables."""

    def __init__(self, table1: str, table2: str, count: int) -> None:
        super().__init__(f"{count} association tables join {table1!r} and {table2!r}.")
        self.table1 = table1
        self.table2 = table2
        self.count = count


class DerivaMLTableTypeError(DerivaMLDataError):
    """The table is not of the kind that the call needs (a vocabulary, an asset table, …)."""

    def __init__(self, table_type: str, table: str, message: str | None = None) -> None:
        super().__init__(message or f"Table {table!r} is not a {table_type}.")
        self.table_type = table_type
        self.table = table


class DerivaMLValidationError(DerivaMLDataError):
    """Values given do not fit; the message lists every problem that was found."""


class DerivaMLMaterializeLimitExceeded(DerivaMLValidationError):
    """A read would bring more rows into memory than the caller allowed."""

    def __init__(self, actual_count: int, limit: int) -> None:
        super().__init__(
            f"The read has {actual_count} rows, the limit is {limit}: narrow it or raise materialize_limit."
        )
        self.actual_count = actual_count
        self.limit = limit


class DerivaMLCycleError(DerivaMLDataError):
    """The change would make a dataset contain itself."""

    def __init__(self, cycle_nodes: Iterable[str]) -> None:
        self.cycle_nodes = list(cycle_nodes)
        super().__init__(f"This would nest a dataset in itself: {' -> '.join(self.cycle_nodes)}.")


class DerivaMLStateInconsistency(DerivaMLDataError):
    """The local record of an execution and the catalog's contradict each other."""


class DerivaMLExecutionGone(DerivaMLStateInconsistency):
    """The catalog has no row, or not any more, of an execution that this workspace knows."""


class DerivaMLIntegrityError(DerivaMLDataError):
    """Bytes or rows are not what their checksum or manifest says."""


# --------------------------------------------------------------------------------------------------------- execution


class DerivaMLExecutionError(DerivaMLException):
    """An execution cannot do what was asked."""


class InvalidTransitionError(DerivaMLExecutionError):
    """The state machine of executions has no such edge."""

    def __init__(self, current: str, target: str, allowed: Iterable[str] = (), rid: str | None = None) -> None:
        self.current = str(current)
        self.target = str(target)
        self.allowed = tuple(str(state) for state in allowed)
        self.rid = rid
        ways = ", ".join(self.allowed) or "nowhere: it is final"
        super().__init__(
            f"Execution{f' {rid}' if rid else ''} is {current} and cannot become {target}; from {current} it can go to {ways}."
        )


class DerivaMLWorkflowError(DerivaMLExecutionError):
    """The workflow cannot be recorded as asked."""


class DerivaMLDirtyWorkflowError(DerivaMLWorkflowError):
    """Strict mode was asked for and the work tree has uncommitted changes."""

    def __init__(self, path: str, dirty_paths: Iterable[str] = ()) -> None:
        self.path = path
        self.dirty_paths = list(dirty_paths)
        super().__init__(
            f"{path} has uncommitted changes ({', '.join(self.dirty_paths[:10])}): commit them, or allow a dirty tree."
        )


class DerivaMLUploadError(DerivaMLExecutionError):
    """A commit did not finish. Nothing staged is lost; `commit_output_assets()` goes on where it stopped.

    ``failures`` has the reason for each file that is known to be in the way, by its name in the manifest.
    """

    def __init__(self, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures: dict[str, str] = dict(failures or {})


class DerivaMLBusyError(DerivaMLExecutionError):
    """Another process holds this execution; the message says who and since when."""


# ------------------------------------------------------------------------------------------------------------- catalog


class DerivaMLReadOnlyError(DerivaMLException):
    """A snapshot, a bag or a read-only folder cannot be changed."""


class DerivaMLCatalogError(DerivaMLException):
    """The catalog refused a request. ``status`` is the HTTP status, ``detail`` what the service said."""

    def __init__(self, status: int, detail: str, request: str = "", hint: str = "") -> None:
        self.status = status
        self.detail = detail
        self.request = request
        text = f"The catalog answered {status}" + (f" to {request}" if request else "") + f": {detail.strip()}"
        super().__init__(text + (f" {hint}" if hint else ""))


class DerivaMLConflictError(DerivaMLCatalogError):
    """409 or 412: the request contradicts the catalog's model, its data, or a change made meanwhile."""


class DerivaMLServerError(DerivaMLCatalogError):
    """429 or 5xx after all retries: the server is busy or broken; nothing staged is lost, try again later."""


OUT_OF_REACH = (DerivaMLOfflineError, DerivaMLServerError, DerivaMLAuthenticationError)
"""What says that the catalog cannot be reached now, and can be later."""
