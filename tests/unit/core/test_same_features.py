import copy

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.same_features import require_same_features

META = {
    "mpp": 0.5,
    "patch_px": 96,
    "grid": 8,
    "dim": 1280,
    "encoder": {"name": "efficientnet_lite0", "weights_sha256": "57" * 32, "pooling": "mean over the map"},
    "preprocessing": {"input_px": 96, "mean": [0.5] * 3, "precision": "float32"},
}


def edited(path: str, value: object) -> dict:
    meta = copy.deepcopy(META)
    *above, last = path.split(".")
    inner = meta
    for name in above:
        inner = inner[name]
    inner[last] = value
    return meta


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("mpp", 0.25, r"um/px 0\.25, .* with 0\.5"),
        ("patch_px", 64, "patch_px 64"),
        ("grid", 4, "grid 4"),
        ("dim", 384, "width 384"),
        ("encoder.name", "uni", 'encoder "uni"'),
        ("encoder.weights_sha256", "99" * 32, r'weights \(SHA-256\) "9999'),
        ("encoder.weights_sha256", None, r"weights \(SHA-256\) null"),
        ("preprocessing.mean", [0.0] * 3, "preprocessing"),
    ],
)
def test_features_of_another_kind_are_refused_by_what_differs(path, value, told):
    with pytest.raises(UserError, match=f"new.parquet was made with {told}"):
        require_same_features({"features": META}, edited(path, value), "new.parquet")


def test_a_gpus_precision_may_differ_and_what_a_model_does_not_record_is_not_asked_for():
    require_same_features({"features": META}, META, "new.parquet")
    require_same_features({"features": META}, edited("preprocessing.precision", "bfloat16"), "new.parquet")
    require_same_features({"features": {"mpp": 0.5}}, META, "new.parquet")
