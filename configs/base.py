"""The root: what `deriva-ml-run` composes when nothing else is said."""

from hydra_zen import store

from deriva_ml.execution import create_model_config

RootConfig = create_model_config(description="Handwritten digits")
store(RootConfig, name="deriva_model")
