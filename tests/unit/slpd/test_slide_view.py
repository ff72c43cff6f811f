"""A slide on its own against the commands of the rounds on a cohort: embeddings, clustered features, prototypes."""

import json

import numpy as np
import pytest
import torch

from tests.unit.slpd import plain
from workflow_scripts import export_prototypes
from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.embeddings import slide_means
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.slpd.crops import centre_window, window_indices
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.model import RegionEncoder, save_model
from workflow_scripts.slpd.prototypes import cluster_slides
from workflow_scripts.slpd.round_tables import prototype_table
from workflow_scripts.slpd.slide_index import SlideIndex
from workflow_scripts.slpd.slide_view import SlideEncoder
from workflow_scripts.slpd.state import TrainState, new_state, save_state
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import embed_regions

CPU = torch.device("cpu")
GRID, DIM, ROUND = 4, 6, 3
COUNTS = np.array([9, 12, 2])
NAMES = ["a", "b", "small"]


def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens float16 `[23, 4, 4, 6]`, flags and tissue fractions `[23, 4, 4]`."""
    rng = np.random.default_rng(4)
    n = COUNTS.sum()
    tokens = rng.normal(size=(n, GRID, GRID, DIM)).astype(np.float16)
    return tokens, rng.random((n, GRID, GRID)) > 0.1, (rng.random((n, GRID, GRID)) > 0.3).astype(np.float32)


def settings(**over: object) -> PretrainRun:
    return plain.tiny_run(prototypes={"count": 3, "min_regions": 6, **over.pop("prototypes", {})}, **over)


def state(run: PretrainRun, seed: int) -> TrainState:
    return new_state(run.model_copy(update={"seed": seed}), DIM, CPU)


def write_model(folder, run: PretrainRun, made_in: int = ROUND, heads: list[str] | None = None) -> None:
    """A model of the cohort: the teacher of seed 9, clustered by that of seed 5."""
    folder.mkdir(exist_ok=True)
    architecture = {"in_dim": DIM, "positions": run.crops.global_size}
    architecture |= {key: getattr(run.model, key) for key in ("dim", "depth", "heads", "mlp_ratio")}
    facts = {
        "architecture": architecture,
        "settings": run.model_dump(mode="json"),
        "features": {"grid": GRID, "encoder": {}},
    }
    save_model(folder / "model.safetensors", state(run, 9).teacher.backbone, facts, "")
    save_state(folder / "clustered_by.safetensors", state(run, 5))
    save_state(folder / "later.safetensors", state(run, 6))
    found = clustered(run)
    table = prototype_table(found, NAMES, np.repeat(np.arange(3), COUNTS))
    write_table(folder / "round.parquet", table, schemas.PROTOTYPES, {"round": made_in})
    write_table(folder / "embedded.parquet", {"slide_id": NAMES, "vector": [[1.0]] * 3}, schemas.SLIDE_EMBEDDINGS)
    empty = dict.fromkeys(("status", "reason", "detail"), "")
    patients = [{"slide_id": name, "patient_id": f"p-{name}", **empty} for name in NAMES]
    write_table(folder / "cohort.parquet", patients, schemas.SLIDES)
    states = ["clustered_by", "later"] if made_in < ROUND else ["later", "clustered_by"]
    argv = ["--config", run.model_dump_json(), "--prototypes", str(folder / "round.parquet"), "--round", str(ROUND)]
    argv += ["--states", *(str(folder / f"{name}.safetensors") for name in states)]
    argv += ["--cohort", str(folder / "cohort.parquet"), "--slides", str(folder / "embedded.parquet")]
    argv += ["--output", str(folder / "prototypes.parquet")]
    argv += [] if heads is None else ["--heads", *heads]
    export_prototypes.main(argv)


def clustered(run: PretrainRun, made_in: int = ROUND):
    """The cohort's prototypes as `cluster_regions` makes them."""
    tokens, read_ok, tissue = cohort()
    visible = torch.from_numpy(read_ok)
    if run.mask_glass or run.prototypes.mask_glass:
        visible = without_glass(visible, torch.from_numpy(tissue))
    window = window_indices(GRID, GRID)[0]
    if run.prototypes.view == "centre":
        window = centre_window(GRID, run.crops.global_size)
    data = TokenData.from_arrays(tokens, visible.numpy(), CPU)
    with torch.inference_mode():
        features, projected = embed_regions(state(run, 5).teacher.eval(), data, window)
    chosen = features if run.prototypes.features == "backbone" else projected
    return cluster_slides(
        chosen.numpy(), NAMES, COUNTS, run.prototypes, derive_seed(run.seed, "round", made_in),
        tissue=(tissue * read_ok).mean(axis=(1, 2)),
    )  # fmt: skip


@pytest.mark.parametrize(
    "over",
    [
        *({}, {"mask_glass": True}, {"prototypes": {"view": "full"}}, {"prototypes": {"features": "backbone"}}),
        {"prototypes": {"mask_glass": False}},
        {"prototypes": {"min_tissue": 0.65, "weighting": "tissue"}},
    ],
)
def test_a_slide_of_the_cohort_gets_what_the_last_round_gave_it(tmp_path, over):
    run = settings(**over)
    write_model(tmp_path, run)
    tokens, read_ok, tissue = cohort()
    encoder, whole = SlideEncoder.load(tmp_path), clustered(run)
    place = slice(COUNTS[0], COUNTS[0] + COUNTS[1])
    view = encoder.view("b", tokens[place], read_ok[place], tissue[place])
    assert np.array_equal(view.assignment, whole.assignment[place])
    np.testing.assert_allclose(view.prototypes, whole.vectors[1], atol=1e-5)
    np.testing.assert_allclose(view.similarity, whole.similarity[place], atol=1e-5)
    flags = [torch.from_numpy(values[place]) for values in (read_ok, tissue)]
    expected = RegionEncoder.load(tmp_path).embed(torch.from_numpy(tokens[place]), *flags).numpy()
    np.testing.assert_allclose(view.embeddings, expected, atol=1e-5)
    assert np.array_equal(view.vector, slide_means(view.embeddings, COUNTS[1:2]).astype(np.float32)[0])
    nearest = SlideIndex.load(tmp_path).nearest(view.prototypes, 1)[0]
    assert nearest.slide_id == "b" and nearest.similarity == pytest.approx(3, abs=1e-5)


def test_a_slide_with_few_regions_has_embeddings_and_no_prototypes(tmp_path):
    write_model(tmp_path, settings())
    tokens, read_ok, tissue = (values[-2:] for values in cohort())
    view = SlideEncoder.load(tmp_path).view("small", tokens, read_ok, tissue)
    assert view.prototypes is None and view.assignment.tolist() == [-1, -1] and len(view.embeddings) == 2
    assert SlideIndex.load(tmp_path).slide_ids == ["a", "b"]


def test_the_number_of_threads_changes_no_bit_and_is_as_before(tmp_path):
    write_model(tmp_path, settings())
    encoder, (tokens, read_ok, tissue) = SlideEncoder.load(tmp_path), cohort()
    before = torch.get_num_threads()
    try:
        views = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            views.append(encoder.view("new", tokens, read_ok, tissue))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for name in ("embeddings", "clustered", "prototypes", "assignment"):
        assert np.array_equal(getattr(views[0], name), getattr(views[1], name))


def test_a_clustering_that_was_handed_on_keeps_the_teacher_that_made_it(tmp_path):
    write_model(tmp_path, settings(), made_in=ROUND - 1)
    encoder = SlideEncoder.load(tmp_path)
    assert encoder.round == ROUND - 1
    own = state(settings(), 5).teacher.state_dict()
    assert torch.equal(encoder.teacher.head.fc1.weight, own["head.fc1.weight"])


def test_the_folder_stands_alone_and_holds_no_last_layer(tmp_path):
    from safetensors.torch import load_file

    write_model(tmp_path / "all", settings())
    (tmp_path / "model").mkdir()
    names = ("model.safetensors", "config.json", "clustering.safetensors", "prototypes.parquet", "slides.parquet")
    for name in names:
        (tmp_path / "all" / name).rename(tmp_path / "model" / name)
    SlideEncoder.load(tmp_path / "model")
    assert "head.last_layer" not in load_file(tmp_path / "model/clustering.safetensors")
    assert read_table(tmp_path / "model/slides.parquet")["slide_id"].to_pylist() == NAMES


def test_what_does_not_fit_is_told_in_a_sentence(tmp_path):
    write_model(tmp_path, settings())
    tokens, read_ok, tissue = cohort()
    encoder = SlideEncoder.load(tmp_path)
    with pytest.raises(UserError, match=r"tokens of slide new are \[23, 4, 4, 5\]; this model takes .*4, 4, 6"):
        encoder.view("new", tokens[..., :5], read_ok, tissue)
    with pytest.raises(UserError, match=r"tokens of slide new are \[0, 4, 4, 6\]"):
        encoder.view("new", tokens[:0], read_ok[:0], tissue[:0])
    broken = tokens.copy()
    broken[3] = np.nan
    with pytest.raises(UserError, match="slide new give no finite embeddings"):
        encoder.view("new", broken, read_ok, tissue)
    path = tmp_path / "clustering.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"clustering.safetensors is damaged or cut short"):
        SlideEncoder.load(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"clustering.safetensors is missing"):
        SlideEncoder.load(tmp_path)


def test_a_teacher_of_another_training_is_told_in_a_sentence(tmp_path):
    write_model(tmp_path / "one", settings())
    write_model(tmp_path / "other", settings(seed=8))
    save_model(
        tmp_path / "other/model.safetensors",
        state(settings(), 8).teacher.backbone,
        RegionEncoder.load(tmp_path / "other").facts,
        "",
    )
    with pytest.raises(
        UserError, match=r"clustering\.safetensors belongs to another training than the model beside it"
    ):
        SlideEncoder.load(tmp_path / "other")
    with pytest.raises(UserError, match=r"prototypes\.parquet belongs to another training"):
        SlideIndex.load(tmp_path / "other")
    SlideEncoder.load(tmp_path / "one")


def test_heads_that_are_no_longer_asked_for_go(tmp_path):
    (tmp_path / "heads").mkdir()
    for name in ("kept.json", "kept.safetensors", "gone.json", "gone.safetensors", ".kept.json.1.partial"):
        (tmp_path / "heads" / name).write_text("{}")
    write_model(tmp_path, settings(), heads=None)
    assert len(list((tmp_path / "heads").iterdir())) == 5
    write_model(tmp_path, settings(), heads=["kept"])
    there = sorted(path.name for path in (tmp_path / "heads").iterdir())
    assert there == [".kept.json.1.partial", "kept.json", "kept.safetensors"]
    write_model(tmp_path, settings(), heads=[])
    assert [path.name for path in (tmp_path / "heads").iterdir()] == [".kept.json.1.partial"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda facts: facts["settings"].update(new_key=1), "settings of another version .*: unknown key new_key"),
        (lambda facts: facts.pop("settings"), "has no settings"),
        (lambda facts: facts.pop("features"), "does not say by which features"),
    ],
)
def test_a_model_whose_facts_are_damaged_is_told_in_a_sentence(tmp_path, spoil, told):
    write_model(tmp_path, settings())
    facts = json.loads((tmp_path / "config.json").read_text())
    spoil(facts)
    (tmp_path / "config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=told):
        SlideEncoder.load(tmp_path)


def test_flags_of_other_regions_and_an_unknown_slide_are_told_in_a_sentence(tmp_path):
    write_model(tmp_path, settings())
    encoder, (tokens, read_ok, tissue) = SlideEncoder.load(tmp_path), cohort()
    with pytest.raises(UserError, match=r"read_ok of slide b is \[9, 4, 4\]; its tokens ask for \[23, 4, 4\]"):
        encoder.view("b", tokens, read_ok[:9], tissue)
    with pytest.raises(UserError, match=r"tissue of slide b is \[23, 4\]"):
        encoder.view("b", tokens, read_ok, tissue[..., 0])
    with pytest.raises(UserError, match=r"nobody.parquet does not exist; name a slide whose features lie in"):
        encoder.view_features(tmp_path, "nobody")
