"""The configuration of notebooks/first_run.ipynb."""

from deriva_ml.execution import notebook_config

notebook_config("first_run", description="A first recorded run in a notebook")
