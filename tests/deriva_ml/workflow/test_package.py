"""Code that was installed: the workflow names the distribution, not the repository that the environment happens to lie in."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from deriva_ml.workflow.capture import of_source
from deriva_ml.workflow.git import content_checksum
from deriva_ml.workflow.source import Source

VCS = {"url": "https://me:secret@host/org/repo.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}


def install(project: Path, origin: dict[str, object] | None) -> Path:
    """Put a distribution into an environment that lies inside a repository; return the file of its module."""
    subprocess.run(["git", "init", "-q", project], check=True)
    root = project / ".venv" / "lib" / "python3.11" / "site-packages"
    facts = root / "My_Models-1.2.dist-info"
    facts.mkdir(parents=True)
    (root / "my_models").mkdir()
    module = root / "my_models" / "fit.py"
    module.write_text("def fit(): ...\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: My_Models\nVersion: 1.2\n")
    (facts / "RECORD").write_text("my_models/__init__.py,,\nmy_models/fit.py,,\n")
    if origin is not None:
        (facts / "direct_url.json").write_text(json.dumps(origin))
    return module


@pytest.mark.parametrize(
    ("origin", "url", "commit"),
    [
        (None, "pkg:pypi/my-models@1.2", None),
        (VCS, "https://host/org/repo/tree/abc123", "abc123"),
        ({"url": "https://host/my_models-1.2.whl", "archive_info": {}}, "https://host/my_models-1.2.whl", None),
    ],
)
def test_an_installed_file_is_known_by_its_distribution(
    tmp_path: Path, origin: dict[str, object] | None, url: str, commit: str | None
) -> None:
    module = install(tmp_path, origin)
    code = of_source(Source(module))
    assert (code.url, code.version, code.commit) == (url, "1.2", commit)
    assert code.checksum == content_checksum(module.read_bytes()) and not code.problems


def test_a_file_that_nobody_installed_is_not_one(tmp_path: Path) -> None:
    stray = install(tmp_path, None).with_name("stray.py")
    stray.write_text("x = 1\n")
    assert of_source(Source(stray)).url is None
