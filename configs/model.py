"""The model function and its settings."""

from hydra_zen import builds, store

from models.digits import train

Train = builds(train, populate_full_signature=True, zen_partial=True)

store(Train, group="model_config", name="default_model")
store(Train(epochs=1), group="model_config", name="quick")
store(Train(epochs=20, learning_rate=0.002), group="model_config", name="patient")
