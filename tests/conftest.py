"""What holds for all tests: the processes that they start do not compile the sources anew, each for itself."""

from __future__ import annotations

import os
import sys

# Where the environment forbids bytecode files (images of containers do), each of some hundred processes would spend
# half of its start compiling.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
