"""Bring 1,797 real handwritten digits into the catalog: images, labels, and two dataset versions.

Run it in a folder that has a catalog: ``python ingest.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn import datasets
from sklearn.datasets import load_digits

from deriva_ml import ColumnDefinition, DerivaML, TableDefinition
from deriva_ml.asset import LocalFile

HELD_OUT = 0.2
SEED = 42
COLLECTION = Path(datasets.__file__).parent / "data" / "digits.csv.gz"


def define_tables(ml: DerivaML) -> None:
    """Create the domain: a sample is one handwritten digit, an image shows it, a term says which digit it is."""
    ml.create_table(
        TableDefinition(
            name="Sample",
            comment="One digit, written by hand by one of 43 people",
            column_defs=[
                ColumnDefinition(name="Number", type="int4", nullok=False, comment="position in the collection"),
                ColumnDefinition(name="Collection", type="text"),
            ],
        )
    )
    ml.create_vocabulary("Digit", comment="The ten digits")
    for digit in range(10):
        ml.add_term("Digit", str(digit), f"The digit {digit}")
    ml.create_asset("Image", referenced_tables=["Sample"], comment="Scans of handwritten digits, 8 x 8 pixels")
    ml.create_asset("Model", comment="Trained classifiers")
    ml.create_feature("Image", "Label", terms=["Digit"], comment="what the writer meant")
    confidence = ColumnDefinition(name="Confidence", type="float4", nullok=True)
    ml.create_feature("Image", "Predicted_Label", terms=["Digit"], metadata=[confidence], comment="what a model saw")
    ml.add_dataset_element_type("Image")


def write_images(folder: Path) -> tuple[list[Path], list[int]]:
    """Write the collection as PNG files; return the paths and the labels."""
    digits = load_digits()
    folder.mkdir(exist_ok=True)
    paths = []
    for number, pixels in enumerate(digits.images):
        path = folder / f"digit-{number:04}.png"
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(path)
        paths.append(path)
    return paths, [int(label) for label in digits.target]


def main() -> None:
    ml = DerivaML()
    define_tables(ml)
    paths, labels = write_images(Path("images"))
    workflow = ml.create_workflow("Ingest digits", "Ingest", "Bring the collection of handwritten digits in")

    raw = LocalFile(path=COLLECTION)
    with ml.create_execution(assets=[raw], workflow=workflow, description="1,797 handwritten digits") as exe:
        exe.log_params({"held_out": HELD_OUT, "seed": SEED, "images": len(paths)})
        samples = (
            ml.domain_path()
            .tables["Sample"]
            .insert([{"Number": number, "Collection": "UCI optical digits"} for number in range(len(paths))])
        )
        for path, sample in zip(paths, samples, strict=True):
            exe.asset_file_path("Image", path, metadata={"Sample": sample["RID"]})
        exe.update_status(exe.status, f"staged {len(paths)} images")

    exe.commit_output_assets()
    print(f"committed {len(paths)} images", flush=True)

    rids = {asset.file_name: asset.asset_rid for asset in exe.uploaded_assets}
    images = [rids[path.name] for path in paths]
    label = ml.lookup_feature("Image", "Label").feature_record_class()
    exe.add_features([label(Image=rid, Digit=str(digit)) for rid, digit in zip(images, labels, strict=True)])
    exe.commit_output_assets()
    print(f"committed {len(labels)} labels", flush=True)

    order = np.random.default_rng(SEED).permutation(len(images))
    cut = int(len(images) * HELD_OUT)
    for kind, chosen in (("Testing", order[:cut]), ("Training", order[cut:])):
        dataset = exe.create_dataset(
            dataset_types=[kind, "Labeled"], description=f"Handwritten digits for {kind.lower()}"
        )
        dataset.add_dataset_members({"Image": [images[n] for n in chosen]})
        version = dataset.release("major", f"{len(chosen)} labelled images", execution=exe)
        print(f"dataset {kind} {dataset.dataset_rid} {version}", flush=True)


if __name__ == "__main__":
    main()
