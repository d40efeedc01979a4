"""What training and evaluation share: images and labels out of a dataset's bag, and the network's forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from deriva_ml.dataset.bag import DatasetBag


@dataclass(frozen=True)
class Images:
    """RIDs, pixels (n x 64, 0 to 1) and labels (n) of the images of a dataset, in the same order."""

    rids: list[str]
    pixels: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


def load_images(bag: DatasetBag) -> Images:
    """Read the images of a downloaded dataset and the labels that go with them."""
    members = sorted(bag.list_dataset_members()["Image"], key=lambda row: row["Filename"])
    labels = {row["Image"]: int(row["Digit"]) for row in bag.get_table_as_dict("Execution_Image_Label")}
    folder = bag.path / "data" / "assets" / "Image"
    pixels = [np.asarray(Image.open(folder / row["RID"] / row["Filename"])).ravel() / 255 for row in members]
    rids = [row["RID"] for row in members]
    return Images(rids, np.stack(pixels), np.array([labels[rid] for rid in rids]))


def probabilities(weights: dict[str, np.ndarray[Any, Any]], pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the probability of each digit for each image (n x 10): one hidden layer, ReLU, softmax."""
    hidden = np.maximum(pixels @ weights["weight_0"] + weights["bias_0"], 0)
    scores = hidden @ weights["weight_1"] + weights["bias_1"]
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray[Any, Any] = grown / grown.sum(axis=1, keepdims=True)
    return shares
