"""The names of dataset values under the import path that guides and scripts use."""

from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetHistory, DatasetVersion, VersionPart

__all__ = ["DatasetHistory", "DatasetSpec", "DatasetVersion", "VersionPart"]
