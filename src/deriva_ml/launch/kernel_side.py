"""An IPython extension for kernels that the runner starts: loads ahead what ``run_notebook`` needs.

It does so in a thread, while the kernel waits for its first cell, and there is time to wait: the runner loads papermill and
looks at the notebook's code meanwhile. What it finds it writes into a file, which the kernel reads before the first cell.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import threading
from pathlib import Path
from typing import Any

TELLING_VARIABLE = "DERIVA_ML_RUNNER_TELLS"
_LOADING: list[threading.Thread] = []


def load_ipython_extension(shell: Any) -> None:
    """Begin to load, and listen to the runner before the first cell."""
    told = Path(os.environ.pop(TELLING_VARIABLE))

    def listen(*_: Any) -> None:
        shell.events.unregister("pre_execute", listen)
        os.environ.update(json.loads(told.read_text()))

    shell.events.register("pre_execute", listen)
    _LOADING.append(threading.Thread(target=_load, daemon=True))
    _LOADING[0].start()


def _load() -> None:
    """Load without looking for garbage in between; what is loaded stays, so nobody needs to look through it later either."""
    looking = gc.isenabled()
    gc.disable()
    importlib.import_module("deriva_ml.launch.notebook")
    importlib.import_module("hydra.core.plugins").Plugins.instance()  # which Hydra has to look for
    gc.freeze()
    if looking:
        gc.enable()


def wait_until_loaded() -> None:
    """Return when nothing is being loaded ahead any more."""
    for thread in _LOADING:
        thread.join()
