"""What configuration and manifest alone can tell: each problem is refused in one sentence, and nothing else is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.unit.config.refused import GOOD, cohort, refusal, with_files
from workflow_scripts.config import Config, Features, load_config, merge
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.refusals import refuse
from workflow_scripts.config.timm_names import timm_names
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import write_table
from workflow_scripts.encoders.hub import require_cached
from workflow_scripts.interchange.places import find_files
from workflow_scripts.representations.slide_table import without_vectors

ROOT = Path(__file__).resolve().parents[3]
TRIDENT = {"source": {"kind": "trident", "folder": "trident"}, "embed": {"baselines": ["mean"]}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with five slides' files."""
    monkeypatch.chdir(tmp_path)
    return with_files(tmp_path)


def test_what_is_right_is_accepted():
    refuse(load_config(GOOD), cohort())
    refuse(load_config({"features": GOOD["features"]}), cohort())  # no task


def test_the_second_cohort_is_looked_at_too(folder):
    theirs = [row._replace(slide_id=f"{row.slide_id}2", path=f"{row.slide_id}2.svs") for row in cohort()]
    config = load_config(merge(GOOD, {"cohort": {"test_manifest": "theirs.csv"}}))
    with pytest.raises(UserError, match="none of the 5 slide files of the manifest theirs"):
        refuse(config, cohort(), tests=theirs)
    for row in theirs:
        (folder / row.path).touch()
    refuse(config, cohort(), tests=theirs)


def test_the_demo_is_accepted(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()))
    refuse(config, read_manifest(config.cohort.manifest))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"model": "phikon_v3"}, "features.model is phikon_v3, which is neither in the registry"),
        ({"model": "phikon_v3"}, "did you mean phikon_v2"),
        ({"model": "vit_smal_patch16_224"}, "did you mean vit_small_patch16_224"),
        ({"model": "xyzzy"}, "nor a model of timm; check the name"),
        ({"model": "vit_small_patch16_224"}, "would be fetched from a network; set features.allow_network: true"),
        ({"model": "uni:random", "weights": "a.svs"}, "yet features.weights is given; drop one of the two"),
        ({"model": "uni", "weights": "uni.bin"}, "features.weights names uni.bin, which does not exist"),
        ({"model": "uni", "weights": "w" * 300}, "www, which does not exist"),  # longer than a name may be
        ({"model": "local-dir:" + "m" * 300}, "mmm, which does not exist"),
        ({"model": "UNI"}, "did you mean uni?"),
        ({"model": "Phikon_v3"}, "did you mean phikon_v2"),
        (
            {"model": "hipt_vits16_256"},
            "comes without weights; set features.weights to vit256_small_dino.pth of the HIPT repository",
        ),
        ({"model": "hipt_vits16_256"}, "that a package brings with its weights: efficientnet_lite0"),
        ({"model": "local-dir:models/uni"}, "features.model names models/uni, which does not exist"),
    ],
)
def test_encoders_that_cannot_be_had(features, words):
    assert words in refusal({"features": features}, cohort())


@pytest.mark.parametrize(
    "features",
    [
        {"model": "uni"},
        {"model": "hipt_vits16_256", "weights": "a.svs"},
        {"model": "hipt_vits16_256:random"},
        {"model": "hf-hub:MahmoodLab/UNI"},
        {"model": "hf-hub:somebody/a-model-of-tomorrow"},
        {"model": "vit_small_patch16_224", "allow_network": True},
        {"model": "vit_small_patch16_224.augreg_in21k", "weights": "a.svs"},
        {"model": "vit_small_patch16_224:random"},
        {"model": "tv_resnext50_32x4d", "allow_network": True},  # an old name of timm's
        {"model": "local-dir:."},
    ],
)
def test_encoders_that_may_be_had(features):
    allowed = {"features": {"allow_mismatch": True, **features}}
    refuse(load_config(merge(GOOD, allowed)), cohort())


def test_a_function_of_ones_own_must_be_where_it_is_looked_for(folder):
    for section, key in (("features", "model"), ("tissue", "method")):
        told = refusal(merge(GOOD, {section: {key: "my_functions:create"}}), cohort())
        assert f"{section}.{key} is my_functions:create, but there is no module my_functions" in told
    file = folder / "my_functions.py"
    for source, told in (("def make(): ...\n", "has no function create"), ("def create(:\n", "is no Python")):
        file.write_text(source)
        assert told in refusal(merge(GOOD, {"features": {"model": "my_functions:create"}}), cohort())
    for source in ("def create(): ...\n", "create = print\n", "from os import path as create\n", "from os import *\n"):
        file.write_text(source)
        refuse(load_config(merge(GOOD, {"features": {"model": "my_functions:create"}})), cohort())


@pytest.mark.parametrize("model", ["phikon", "hf-hub:owkin/phikon@main", "hf-hub:somebody/a-model"])
def test_a_model_of_the_hub_must_be_in_its_cache_where_no_network_is_allowed(folder, model):
    features = {"model": model, "hub_folder": str(folder / "hub")}

    def check(**more):
        refuse(load_config(merge(GOOD, {"features": features | more})), cohort(), require_cached=require_cached)

    with pytest.raises(UserError, match=f"{model}.*set features.allow_network: true") as caught:
        check()
    assert "features.hub_folder, else HF_HOME" in str(caught.value)
    check(allow_network=True)  # nothing is fetched yet
    check(weights="a.svs")
    repository = model.removeprefix("hf-hub:").removesuffix("@main")
    repository = ENCODERS[repository].hub if repository in ENCODERS else repository
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    (place / "snapshots" / "a").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a")
    for name in ("config.json", "model.safetensors"):
        (place / "snapshots" / "a" / name).touch()
    check()


def test_random_weights_are_in_no_cache(folder):
    require_cached(Features(model="uni:random", hub_folder=str(folder)))


def test_the_registry_knows_which_weights_a_package_brings():
    from workflow_scripts.encoders.registry import registry_recipe

    packaged = [name for name in ENCODERS if registry_recipe(name).packaged_weights]
    assert packaged == [name for name, facts in ENCODERS.items() if facts.packaged]


def test_the_encoder_does_not_matter_where_another_tool_has_made_the_features():
    refuse(load_config(merge(GOOD, TRIDENT | {"features": {"model": "xyzzy"}})), cohort())


def test_more_missing_slides_than_the_cohort_allows(folder):
    for name in "ab":
        (folder / f"{name}.svs").unlink()
    refuse(load_config(GOOD), cohort())
    few = {"cohort": {"max_failed_fraction": 0.3}}
    assert "2 of 5 slide files of the manifest slides.csv do not exist, the first is a.svs" in refusal(few, cohort())
    refuse(load_config(merge(GOOD, few | TRIDENT)), cohort())  # the slides may be gone


def test_remote_slides_need_leave_and_are_not_missing():
    remote = [row._replace(path=f"https://slides.example/{row.path}") for row in cohort()]
    told = refusal({}, remote)
    assert "5 slides of the manifest slides.csv are remote, the first is https://slides.example/a.svs" in told
    refuse(load_config(merge(GOOD, {"cohort": {"allow_network": True, "max_failed_fraction": 0.3}})), remote)


def test_no_slide_file_exists(folder):
    for name in "abcde":
        (folder / f"{name}.svs").unlink()
    lenient = {"cohort": {"max_failed_fraction": 1.0}}
    assert "none of the 5 slide files of the manifest slides.csv exists, the first is a.svs" in refusal(
        lenient, cohort()
    )


def test_another_tool_has_features_of_no_slide(folder):
    config = load_config(merge(GOOD, TRIDENT))

    def look(row):
        return find_files(config.source, row.slide_id, row.path)

    with pytest.raises(UserError, match=r"source\.folder: none of the 5 slides of slides\.csv has a file of trident"):
        refuse(config, cohort(), look)
    (folder / "trident").mkdir()
    (folder / "trident" / "c.h5").touch()
    refuse(config, cohort(), look)


def test_no_slide_can_have_prototypes():
    regions = {"regions": {"max_per_slide": 31}}
    assert "pretrain run slpd: no slide can have prototypes, for regions.max_per_slide (31)" in refusal(
        regions, cohort()
    )
    refuse(load_config(merge(GOOD, {"regions": {"max_per_slide": 32}})), cohort())
    refuse(load_config(merge(GOOD, regions | {"pretrain": {"runs": {"slpd": None}}})), cohort())


def test_a_path_longer_than_a_name_may_be():
    far = [row._replace(path="x" * 300) for row in cohort()]
    assert "none of the 5 slide files of the manifest slides.csv exists" in refusal({}, far)
    assert "holds no {slide_id}.npz" in refusal({"benchmark": {"region_truth": "t" * 300}}, cohort())


def test_maps_of_true_classes(folder):
    truth = {"benchmark": {"region_truth": "truth"}}
    assert "benchmark.region_truth: truth holds no {slide_id}.npz" in refusal(truth, cohort())
    (folder / "truth").mkdir()
    (folder / "truth" / "other.npz").touch()
    assert "none of the 1 maps in truth is named by a slide of the manifest, the first is other.npz" in refusal(
        truth, cohort()
    )
    refuse(load_config(merge(GOOD, truth | {"pretrain": {"runs": {"slpd": None}}})), cohort())  # nobody scores them
    mine = folder / "truth" / "c.svs.npz"
    mine.write_bytes(b"no map")
    assert "truth/c.svs.npz is no map of classes (no .npz file of NumPy); save it anew" in refusal(truth, cohort())
    np.savez(mine, map=np.ones((2, 3), int), um_per_px=8.0)
    np.savez(folder / "truth" / f"{cohort()[0].slide_id}.npz", map=np.ones((2, 3), int))
    assert f"truth/{cohort()[0].slide_id}.npz lacks um_per_px; save it anew" in refusal(truth, cohort())
    (folder / "truth" / f"{cohort()[0].slide_id}.npz").unlink()
    twice = folder / "truth" / "c.npz"
    twice.write_bytes(mine.read_bytes())
    assert "truth/c.npz and truth/c.svs.npz are both maps of slide c; take one of them out" in refusal(truth, cohort())
    twice.unlink()
    refuse(load_config(merge(GOOD, truth)), cohort())


def test_maps_of_the_demo_are_made_with_its_slides():
    truth = {"benchmark": {"region_truth": "resources/demo/truth"}}
    made = [row._replace(path=f"resources/demo/{row.path}") for row in cohort()]
    refuse(load_config(merge(GOOD, truth)), made)
    assert "resources/demo/truth holds no" in refusal(truth, cohort())  # left over from the demo


def test_timm_names_are_those_of_its_registry():
    from workflow_scripts.encoders.timm_import import timm

    named = timm_names()
    assert named is not None
    assert set(timm.list_models()) <= named
    assert all(timm.is_model(name) for name in named)


def test_nothing_heavy_is_imported():
    """Every start of Snakemake pays for it."""
    code = (
        "import sys, workflow_scripts.config.refusals, workflow_scripts.encoders.hub\n"
        "from workflow_scripts.config.timm_names import timm_names\n"
        "timm_names()\n"
        "print({'torch', 'timm', 'numpy', 'pyarrow', 'sklearn', 'pandas', 'openslide'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_defaults_need_an_encoder():
    """The published ViT is HIPT's own, which no package brings: a config of one's own says where the weights are."""
    with pytest.raises(UserError, match=r"hipt_vits16_256 comes without weights; set features\.weights to vit256"):
        refuse(Config(), cohort())


def test_vectors_of_other_tools(folder):
    def tables(file):
        return {"embed": {"tables": {"titan": {"file": file, "pretrained_on": "slides"}}}}

    assert "embed.tables.titan.file names vectors.csv, which does not exist" in refusal(tables("vectors.csv"), cohort())
    for name in ("vectors.csv", "vectors.pt"):
        (folder / name).write_text("")
    assert "vectors.pt is neither .csv nor .parquet nor a folder" in refusal(tables("vectors.pt"), cohort())
    config = load_config(merge(GOOD, tables("vectors.csv")))
    theirs = [row._replace(slide_id=f"{row.slide_id}2", path=f"{row.slide_id}2.svs") for row in cohort()]
    for row in theirs:
        (folder / row.path).touch()

    def check(named, tests=()):
        """By a table that names some slides."""
        (folder / "vectors.csv").write_text("\n".join(["slide_id,x", *(f"{name},1" for name in named), ""]))
        refuse(config, cohort(), without_vectors=without_vectors, tests=tests)

    check("abcde")
    for named, tests, words in (
        ("abcd", (), r"no vector of 1 of the 5 slides to be embedded \(e\); add them"),
        ("xy", (), r"no vector of 5 of the 5 slides to be embedded \(a, b, c \.\.\.\)"),
        ("abcde", theirs, r"no vector of 5 of the 10 slides to be embedded \(a2, b2, c2 \.\.\.\)"),
    ):
        with pytest.raises(UserError, match=rf"embed\.tables\.titan\.file: vectors\.csv has {words}"):
            check(named, tests)
    excluded = dict.fromkeys(schemas.SLIDES.names) | {"slide_id": "e", "patient_id": "e", "status": "excluded"}
    write_table(folder / "results/cohort/slides.parquet", [excluded | {"reason": "no_mpp"}], schemas.SLIDES)
    check("abcd")  # an earlier run could not use it
    (folder / "d.svs").unlink()
    check("abc")  # nor will this one
    with pytest.raises(UserError, match=r"1 of the 5 slides to be embedded \(c\)"):
        check("ab")


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"tissue": {"masks": "m{a}"}}, "tissue.masks is m{a}"),
        ({"features": {"weights": "w}.bin"}}, "features.weights is w}.bin"),
        ({"cohort": {"manifest": "{slides}.csv"}}, "cohort.manifest is {slides}.csv"),
        ({"benchmark": {"tasks": {"subtype": {"table": "t{1}.csv"}}}}, "benchmark.tasks.subtype.table is t{1}.csv"),
        ({"pretrain": {"defaults": {"init": "{x}"}}}, "pretrain.defaults.init is {x}"),
    ],
)
def test_a_brace_in_a_file_of_the_configuration(raw, key):
    assert f"{key}, and a brace in a file's name is a wildcard to Snakemake; rename it" in refusal(raw, cohort())


def test_weights_to_start_from_that_are_nowhere(folder):
    raw = {"pretrain": {"runs": {"slpd": {"init": "none.safetensors"}}}}
    assert "pretrain run slpd: init names none.safetensors, which does not exist and no run makes" in refusal(
        raw, cohort()
    )
    (folder / "none.safetensors").touch()
    refuse(load_config(merge(GOOD, raw)), cohort())
    made = "results/cohort/pretrain/dino/model/model.safetensors"
    refuse(load_config(merge(GOOD, {"pretrain": {"runs": {"slpd": {"init": made}}}})), cohort())


def test_what_may_be_meant_otherwise_is_told_once():
    raw = {"benchmark": {"tasks": {"again": {"kind": "survival", "time": "days", "event": "dead"}}}}
    twice, once = (refuse(load_config(merge(GOOD, raw)), cohort(dead=dead)) for dead in ("21212", "10101"))
    (doubt,) = set(twice) - set(once)
    assert "slides.csv: column dead holds 1 and 2" in doubt
