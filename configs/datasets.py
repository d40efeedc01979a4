"""Which datasets a run reads, pinned to versions: `store([DatasetSpecConfig(rid="1-ABC", version="1.0.0")], …)`.

The digits come with scikit-learn, so the example reads none.
"""

from hydra_zen import store

store([], group="datasets", name="default_dataset")
