"""What the run is called; its code is the file of the model function."""

from hydra_zen import builds, store

from deriva_ml.execution import Workflow

store(
    builds(
        Workflow,
        name="Digits",
        workflow_type="Training",
        description="A linear classifier of handwritten digits",
        populate_full_signature=True,
    ),
    group="workflow",
    name="default_workflow",
)
