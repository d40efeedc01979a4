"""Which files a run reads: RIDs, `AssetSpecConfig(rid="2-GHI", cache=True)`, or `LocalFileConfig(path="…")`."""

from hydra_zen import store

from deriva_ml.execution import LocalFileConfig, with_description

store([], group="assets", name="default_asset")
store(
    with_description([LocalFileConfig(path="pyproject.toml")], "a file of this machine, recorded by its checksum"),
    group="assets",
    name="local_file",
)
