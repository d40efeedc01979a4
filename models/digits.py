"""A linear classifier of handwritten digits, trained epoch by epoch."""

from __future__ import annotations

import json

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from deriva_ml import DerivaML, Execution


def train(
    epochs: int = 5,
    learning_rate: float = 0.01,
    test_share: float = 0.25,
    seed: int = 0,
    *,
    ml_instance: DerivaML | None = None,
    execution: Execution | None = None,
) -> float:
    """Train, log the accuracy of each epoch, keep weights and errors; return the last accuracy on images held back."""
    assert execution is not None
    images, digits = load_digits(return_X_y=True)
    seen, unseen, known, truth = train_test_split(
        images / 16, digits, test_size=test_share, random_state=seed, stratify=digits
    )
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=seed)
    accuracy = 0.0
    for epoch in range(epochs):
        model.partial_fit(seen, known, classes=np.arange(10))
        accuracy = float(model.score(unseen, truth))
        execution.log_metrics({"accuracy": accuracy, "train_accuracy": float(model.score(seen, known))}, step=epoch)
    weights = execution.asset_file_path("Execution_Asset", "weights.npz", ["Model_File"], description="Linear weights")
    np.savez(weights, coefficients=model.coef_, intercepts=model.intercept_)
    wrong = np.flatnonzero(model.predict(unseen) != truth)
    errors = execution.asset_file_path(
        "Execution_Asset", "errors.json", ["Output_File"], description="What was misread"
    )
    errors.write_text(
        json.dumps([{"digit": int(truth[n]), "read": int(model.predict(unseen[n : n + 1])[0])} for n in wrong])
    )
    return accuracy
