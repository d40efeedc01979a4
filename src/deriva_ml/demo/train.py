"""Train a small network on the training digits: ``python train.py DATASET_RID VERSION``."""

from __future__ import annotations

import sys

import numpy as np
from digits import load_images, probabilities
from sklearn.neural_network import MLPClassifier

from deriva_ml import DatasetSpec, DerivaML

EPOCHS = 12
SETTINGS = {"hidden": 64, "learning_rate": 0.005, "epochs": EPOCHS, "batch": 64, "seed": 7}


def main(dataset_rid: str, version: str) -> None:
    ml = DerivaML()
    workflow = ml.create_workflow("Train digits", "Training", "A network with one hidden layer")
    spec = DatasetSpec(rid=dataset_rid, version=version)

    with ml.create_execution(datasets=[spec], workflow=workflow, description="train on labelled digits") as exe:
        print(f"execution {exe.execution_rid}", flush=True)
        exe.log_params(SETTINGS)
        images = load_images(exe.datasets[0])
        network = MLPClassifier(
            hidden_layer_sizes=(SETTINGS["hidden"],),
            learning_rate_init=SETTINGS["learning_rate"],
            batch_size=SETTINGS["batch"],
            random_state=SETTINGS["seed"],
        )
        for epoch in range(1, EPOCHS + 1):
            network.partial_fit(images.pixels, images.labels, classes=np.arange(10))
            metrics = {"loss": float(network.loss_), "accuracy": float(network.score(images.pixels, images.labels))}
            exe.log_metrics(metrics, step=epoch)
            print(f"epoch {epoch} loss {metrics['loss']:.4f} accuracy {metrics['accuracy']:.4f}", flush=True)

        model = exe.asset_file_path("Model", "digits.npz", asset_types=["Model_File"], description="network weights")
        weights = {f"weight_{n}": weight for n, weight in enumerate(network.coefs_)}
        biases = {f"bias_{n}": bias for n, bias in enumerate(network.intercepts_)}
        np.savez(model, **weights, **biases)

        record = ml.lookup_feature("Image", "Predicted_Label").feature_record_class()
        seen = probabilities(dict(np.load(model)), images.pixels)
        count = exe.add_features(
            [
                record(Image=rid, Digit=str(row.argmax()), Confidence=float(row.max()))
                for rid, row in zip(images.rids, seen, strict=True)
            ]
        )
        print(f"features {count}", flush=True)

    exe.commit_output_assets()
    trained = next(asset for asset in exe.uploaded_assets if asset.asset_table == "Model")
    print(f"model {trained.asset_rid}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
