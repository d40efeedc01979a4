"""Try a trained model on held-out digits: ``python evaluate.py DATASET_RID VERSION MODEL_RID``."""

from __future__ import annotations

import csv
import sys

import matplotlib
import numpy as np
from digits import load_images, probabilities
from sklearn.metrics import ConfusionMatrixDisplay

from deriva_ml import DatasetSpec, DerivaML

matplotlib.use("Agg")


def main(dataset_rid: str, version: str, model_rid: str) -> None:
    ml = DerivaML()
    workflow = ml.create_workflow("Evaluate digits", "Testing", "Accuracy on digits that training never saw")
    spec = DatasetSpec(rid=dataset_rid, version=version)

    with ml.create_execution(
        datasets=[spec], assets=[model_rid], workflow=workflow, description="evaluate on held-out digits"
    ) as exe:
        images = load_images(exe.datasets[0])
        seen = probabilities(dict(np.load(exe.asset_paths["Model"][0])), images.pixels)
        guesses = seen.argmax(axis=1)
        accuracy = float((guesses == images.labels).mean())
        exe.log_metrics({"accuracy": accuracy})

        predictions = exe.asset_file_path(
            "Execution_Asset", "predictions.csv", description="one line per held-out image"
        )
        with predictions.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Image", "Label", "Predicted", "Confidence"])
            writer.writerows(zip(images.rids, images.labels, guesses, seen.max(axis=1).round(4), strict=True))

        picture = exe.asset_file_path("Execution_Asset", "confusion.png", description="confusion matrix")
        ConfusionMatrixDisplay.from_predictions(images.labels, guesses).figure_.savefig(picture, dpi=80)

        record = ml.lookup_feature("Image", "Predicted_Label").feature_record_class()
        exe.add_features(
            [
                record(Image=rid, Digit=str(guess), Confidence=float(row.max()))
                for rid, guess, row in zip(images.rids, guesses, seen, strict=True)
            ]
        )

    exe.commit_output_assets()
    results = {asset.file_name: asset.asset_rid for asset in exe.uploaded_assets}
    print(f"accuracy {accuracy:.4f}", flush=True)
    print(f"predictions {results['predictions.csv']}", flush=True)
    print(f"picture {results['confusion.png']}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
