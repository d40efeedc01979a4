"""The configuration of notebooks/compare_sweep.ipynb."""

from dataclasses import dataclass

from deriva_ml.execution import BaseConfig, notebook_config


@dataclass
class CompareConfig(BaseConfig):
    """`metric` is the one to compare by."""

    metric: str = "accuracy"


notebook_config("compare_sweep", CompareConfig, description="Compare the runs of a sweep")
