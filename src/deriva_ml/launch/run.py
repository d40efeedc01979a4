"""``run_model``: one configured run of a model function, recorded from its creation to its commit."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from deriva_ml.catalog.terms import check_terms
from deriva_ml.enums import ConnectionMode, MLVocab
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import resolve
from deriva_ml.execution.kept_inputs import resolve_kept
from deriva_ml.execution.nesting import add
from deriva_ml.launch.composed import as_list, composed, plain
from deriva_ml.launch.connection import connection_of
from deriva_ml.launch.job import Job, current_job
from deriva_ml.launch.nearest import nearest_names
from deriva_ml.launch.settlement import fail_after_its_end, keep_what_is_left
from deriva_ml.ml import DerivaML
from deriva_ml.rid import is_local
from deriva_ml.workflow.workflow import Workflow

VALIDATE = "validate"
_GIVEN = ("ml_instance", "execution")


@runtime_checkable
class DerivaMLModel(Protocol):
    """A model function: its own settings as keywords, and two that deriva-ml gives."""

    def __call__(self, *args: Any, ml_instance: DerivaML, execution: Execution, **settings: Any) -> Any: ...


def run_model(
    deriva_ml: Any,
    datasets: Any,
    assets: Any,
    description: str,
    workflow: Any,
    model_config: Any,
    dry_run: Any = False,
    ml_class: Any = None,
    script_config: Any = None,
) -> Any:
    """Run a model function and record it; the root configuration calls this with everything instantiated.

    The function is ``script_config`` if there is one, else ``model_config``; it is called with ``ml_instance`` and
    ``execution``. ``dry_run=True`` runs it and records nothing; ``"validate"`` only looks the inputs up. What a failed
    run left is committed, and the execution ends Failed. Returns what the function returned.

    Raises:
        DerivaMLConfigurationError: there is no function to call, or it does not take what it is given.
        DerivaMLNotFoundError: an input is not there; nothing was recorded.
        DerivaMLUploadError: the commit did not finish; ``deriva-ml-upload`` goes on with it.
    """
    model, how, job = chosen_model(script_config, model_config), composed(), current_job()
    ml = connection_of(deriva_ml).open(ml_class, how.folder)
    configuration = ExecutionConfiguration(
        datasets=as_list(datasets),
        assets=as_list(assets),
        workflow=workflow,
        description=how.described(description, job.number),
        config_choices=how.choices,
        parameters=settings_of(model),
    )
    dry = read_dry_run(dry_run)
    if dry and isinstance(workflow, Workflow):
        check_terms(ml.session, MLVocab.workflow_type, workflow.workflow_type)  # what the run itself would refuse
    if dry == VALIDATE:
        validate(ml, configuration)
        job.status = "valid"
        return None
    return _recorded(ml, configuration, model, job, bool(dry))


def _recorded(
    ml: DerivaML, configuration: ExecutionConfiguration, model: Callable[..., Any], job: Job, dry: bool
) -> Any:
    store, offline = ml.executions.store, ml.mode is ConnectionMode.offline
    if job.parent is not None and is_local(job.parent):
        store.require(job.parent)
    execution = ml.create_execution(configuration, dry_run=dry)
    job.follow(execution)
    if job.parent is not None and not dry:
        add(ml.session, store, job.parent, execution.execution_rid, job.number)
    try:
        with execution, job.measuring(execution):
            value = _returned(model, ml, execution)
            job.returned(value, execution)
        if not offline:
            execution.commit_output_assets()
        elif job.number is None:
            print(
                f"Offline: `deriva-ml upload --execution {execution.execution_rid}` commits it when the catalog is back."
            )
    except BaseException as error:
        keep_what_is_left(execution, error)
        raise
    finally:
        job.ended(execution, offline)
    return value


def _returned(model: Callable[..., Any], ml: DerivaML, execution: Execution) -> Any:
    """Return what the model function returns; ``sys.exit()`` in it is a return as well."""
    try:
        return model(ml_instance=ml, execution=execution)
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            return None
        fail_after_its_end(execution, error)
        raise


def chosen_model(script_config: Any, model_config: Any) -> Callable[..., Any]:
    """Return the function to call.

    Raises:
        DerivaMLConfigurationError: there is none, or it does not take what it is given.
    """
    model: Any = script_config if script_config is not None else model_config
    if not callable(model):
        raise DerivaMLConfigurationError(
            "There is no model function to call: store `builds(fn, populate_full_signature=True, zen_partial=True)` in the "
            f"group model_config; the configuration gives {type(model).__name__}."
        )
    function = getattr(model, "func", model)
    missing = _not_taken(function)
    if missing:
        raise DerivaMLConfigurationError(
            f"The model function {getattr(function, '__qualname__', function)} must take {' and '.join(missing)}: "
            "it is called as fn(ml_instance=…, execution=…)."
        )
    _refuse_unknown_settings(function, settings_of(model))
    call: Callable[..., Any] = model
    return call


def _refuse_unknown_settings(function: Callable[..., Any], settings: Iterable[str]) -> None:
    """Refuse what `+model_config.name=` added and the function does not take, before anything is recorded.

    Raises:
        DerivaMLConfigurationError: it names the settings that are most alike.
    """
    taken = _parameters(function)
    if taken is None or any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    own = [name for name in taken if name not in _GIVEN]
    for name in settings:
        if name not in taken:
            near = nearest_names(name, own)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(own) or 'none'}."
            raise DerivaMLConfigurationError(
                f"The model function {getattr(function, '__qualname__', function)} has no setting {name!r}: {hint}"
            )


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(function).parameters
    except ValueError:  # some builtins do not say what they take
        return None


def _not_taken(function: Callable[..., Any]) -> list[str]:
    parameters = _parameters(function)
    if parameters is None:
        return []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [name for name in _GIVEN if name not in parameters]


def settings_of(model: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings that a partial function was given."""
    keywords = model.keywords if isinstance(model, functools.partial) else {}
    return {name: plain(value) for name, value in keywords.items() if name not in _GIVEN}


def read_dry_run(value: Any) -> bool | str:
    """Return True, False or "validate"; ``DERIVA_ML_DRY_RUN`` counts where the configuration says nothing.

    Raises:
        DerivaMLConfigurationError: it is something else.
    """
    text = str(value).strip().lower()
    if text in ("", "none", "false", "0", "no"):
        text = os.environ.get("DERIVA_ML_DRY_RUN", "").strip().lower() or "false"
    if text == VALIDATE:
        return VALIDATE
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no"):
        return False
    raise DerivaMLConfigurationError(f"dry_run is true, false or validate; not {value!r}.")


def validate(ml: DerivaML, configuration: ExecutionConfiguration) -> None:
    """Look up every input, and say what was found; nothing is written and the model does not run.

    Raises:
        DerivaMLNotFoundError, DerivaMLTableTypeError, DerivaMLValidationError: an input is not as declared.
    """
    print(found_inputs(ml, configuration))


def found_inputs(ml: DerivaML, configuration: ExecutionConfiguration) -> str:
    """Look up every input; return what was found, as text. Raises as :func:`validate` does."""
    if ml.mode is ConnectionMode.offline:
        found = resolve_kept(ml.session, ml.cache_dir, ml.executions.store, configuration)
    else:
        found = resolve(ml.session, configuration)
    return "\n".join(
        [
            *(f"dataset {dataset['rid']} at version {dataset['version']}" for dataset in found.described()),
            *(f"asset {spec.rid} in {table.name}" for spec, table in found.assets),
            *(f"file {path}, {digest.length} bytes" for path, digest in found.files),
            "The configuration is valid.",
        ]
    )
