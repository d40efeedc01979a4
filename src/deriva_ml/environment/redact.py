"""What must not leave the machine: secrets in environment variables, arguments, addresses and settings.

Floor 1, a law: values in, values out. Names of environment variables pass an allow-list; values of everything else are
searched for what looks like a secret. What is taken out leaves ``[redacted]`` behind, so that the record says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

REDACTED = "[redacted]"

# fmt: off
ALLOWED = frozenset((
    "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_HOME",
    "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "DERIVA_MCP_GIT_COMMIT", "DERIVA_MCP_IMAGE_DIGEST",
    "DERIVA_MCP_IMAGE_NAME", "DERIVA_MCP_IN_DOCKER", "DERIVA_MCP_VERSION", "DERIVA_ML_ALLOW_DIRTY",
    "DERIVA_ML_DIRTY_CHECK_IGNORE", "DERIVA_ML_DRY_RUN", "DERIVA_ML_HOME", "DERIVA_ML_HYDRA_OVERRIDES",
    "DERIVA_ML_NOTEBOOK_PATH", "DERIVA_ML_WORKFLOW_CHECKSUM", "DERIVA_ML_WORKFLOW_URL", "GOMP_CPU_AFFINITY",
    "HF_HOME", "HIP_VISIBLE_DEVICES", "HOSTNAME", "JAX_ENABLE_X64", "JAX_PLATFORMS", "KMP_AFFINITY",
    "KMP_BLOCKTIME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "MKL_NUM_THREADS", "NCCL_ALGO", "NCCL_DEBUG", "NUMEXPR_NUM_THREADS",
    "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PBS_JOBID", "PYTHONHASHSEED",
    "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONUTF8",
    "PYTORCH_CUDA_ALLOC_CONF", "RANK", "ROCR_VISIBLE_DEVICES", "SHELL", "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_NODELIST",
    "SLURM_JOB_PARTITION", "SLURM_NNODES", "SLURM_NTASKS", "SLURM_PROCID", "TERM", "TF_CPP_MIN_LOG_LEVEL",
    "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TMPDIR", "TOKENIZERS_PARALLELISM", "TORCH_HOME",
    "TRANSFORMERS_CACHE", "TZ", "USER", "VECLIB_MAXIMUM_THREADS", "VIRTUAL_ENV", "WORLD_SIZE", "XLA_FLAGS",
))
# fmt: on
"""The environment variables that a record may name, exactly."""

_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:pass(?:word|wd|phrase)?|pwd|secret|token|bearer|credentials?|cookie|auth(?:orization)?"
    r"|(?:api|access|private|secret|account|encryption|signing|ssh|client)[_.-]?key|apikey|connection[_.-]?string)(?:$|[^a-z])",
    re.IGNORECASE,
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VALUES = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
    re.compile(r"\b(?:sk|pk|rk)-(?:[A-Za-z]+-)*[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}"),
    re.compile(
        r"\bhf_[A-Za-z0-9]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}"
    ),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}"),
)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]*:?[^/\s@]*@(?=[^\s/]*[^\s])")
_QUERY = re.compile(r"([?&;])([A-Za-z0-9_.\[\]-]+)=([^&\s#;]+)")
_ASSIGNED = re.compile(r"^(?P<name>-{0,2}\+{0,2}[A-Za-z0-9_.\-/]+)=(?P<value>.*)$", re.DOTALL)
_YAML_LINE = re.compile(r"""^(?P<head>\s*(?:-\s+)?['"]?(?P<name>[A-Za-z0-9_.\-]+)['"]?\s*[:=]\s*)(?P<value>\S.*)$""")


def is_secret_name(name: str) -> bool:
    """Return whether what is called ``name`` should be kept to oneself.

    Example:
        >>> is_secret_name("api_key"), is_secret_name("apiKey"), is_secret_name("max_tokens"), is_secret_name("author")
        (True, True, False, False)
    """
    return _SECRET_NAME.search(_WORDS.sub("_", name)) is not None


def redact_text(text: str) -> str:
    """Return ``text`` without what looks like a secret in it: keys of known makes, credentials in addresses.

    Example:
        >>> redact_text("https://me:hunter2@host/x?token=abc&n=1")
        'https://[redacted]@host/x?token=[redacted]&n=1'
    """
    for pattern in _SECRET_VALUES:
        text = pattern.sub(REDACTED, text)
    text = _IN_ADDRESS.sub(f"{REDACTED}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}{found[2]}={REDACTED if is_secret_name(found[2]) else found[3]}", text)


def redact(value: Any, name: str = "") -> Any:
    """Return a JSON-like value with secrets taken out of it, at any depth; ``name`` is what it is called."""
    if isinstance(value, Mapping):
        return {str(key): redact(each, str(key)) for key, each in value.items()}
    if name and is_secret_name(name) and value not in (None, "", True, False):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(each) for each in value]
    return value


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """Return a command line with secrets taken out: ``--token X``, ``password=X``, keys of known makes.

    Example:
        >>> redact_arguments(["train.py", "--token", "abc", "lr=0.1", "db.password=x"])
        ['train.py', '--token', '[redacted]', 'lr=0.1', 'db.password=[redacted]']
    """
    cleaned: list[str] = []
    hide_next = False
    for argument in arguments:
        assigned = _ASSIGNED.match(argument)
        if hide_next and not argument.startswith("--"):
            cleaned.append(REDACTED)
        elif assigned and is_secret_name(assigned["name"]):
            cleaned.append(f"{assigned['name']}={REDACTED}")
        else:
            cleaned.append(redact_text(argument))
        hide_next = argument.startswith("-") and assigned is None and is_secret_name(argument.lstrip("-"))
    return cleaned


def redact_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the allow-list names, their values searched as well."""
    return {name: redact_text(value) for name, value in sorted(variables.items()) if name in ALLOWED}


def redact_lines(text: str) -> str:
    """Return a settings file (YAML or alike) with the values of secret names taken out, line by line."""
    return "".join(_redact_line(line) for line in text.splitlines(keepends=True))


def _redact_line(line: str) -> str:
    found = _YAML_LINE.match(line.rstrip("\n"))
    if (
        found
        and is_secret_name(found["name"])
        and found["value"].strip() not in {"null", "~", "''", '""', "true", "false"}
    ):
        return f"{found['head']}{REDACTED}" + ("\n" if line.endswith("\n") else "")
    return redact_text(line)


def strip_credentials(address: str) -> str:
    """Return a repository's address without user names, passwords and tokens.

    Example:
        >>> strip_credentials("https://me:ghp_abc@github.com/me/it.git")
        'https://github.com/me/it.git'
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
