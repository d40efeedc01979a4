"""Named sweeps: `+multirun=NAME`."""

from deriva_ml.execution import multirun_config

multirun_config(
    "learning_rates",
    ["model_config.learning_rate=0.001,0.01,0.1", "model_config.epochs=3"],
    "Which learning rate reads digits best after three epochs?",
)
multirun_config("seeds", ["model_config.seed=range(0,4)"], "How much does the split matter?")
