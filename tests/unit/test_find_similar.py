"""`slpd similar` on a small cohort: slides by brute force over permutations, regions by cosine, and what is refused."""

import json
from itertools import permutations

import numpy as np
import pytest

from workflow_scripts import find_similar, index_regions
from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import write_table
from workflow_scripts.search.region_index import RegionIndex
from workflow_scripts.slpd.slide_index import SlideIndex

SLIDES, PER_SLIDE, M, DIM, BOTTLENECK = 9, 6, 3, 5, 4
DIGEST = {"model_sha256": "ab" * 32}
MADE_IN = {"round": 2} | DIGEST


def clustered_rows(sets, first=0):
    """Rows of prototypes `[S, M, d]` of slides, from number `first` on."""
    return [
        {"slide_id": f"s{first + i}", "prototype": k, "n_regions": PER_SLIDE // M, "vector": sets[i, k]}
        for i in range(len(sets))
        for k in range(M)
    ]


@pytest.fixture
def results(tmp_path):
    """Nine slides, two of one patient, of six regions each in three prototypes; and the prototypes of the model."""
    random = np.random.default_rng(0)
    regions, assigned = [], []
    for slide in range(SLIDES):
        for number in range(PER_SLIDE):
            ids = {"slide_id": f"s{slide}", "region_id": f"s{slide}_r{number}"}
            regions.append({**ids, "vector": random.normal(size=DIM)})
            assigned.append({**ids, "prototype": number % M, "similarity": 0.5})
    slides = [{"slide_id": f"s{i}", "patient_id": f"p{max(i, 1)}", "status": "ok"} for i in range(SLIDES)]
    vectors = np.array([row["vector"] for row in regions], dtype=np.float32).reshape(SLIDES, PER_SLIDE, DIM)
    means = [{"slide_id": f"s{i}", "vector": mean} for i, mean in enumerate(vectors.mean(axis=1))]
    sets = random.normal(size=(SLIDES, M, BOTTLENECK)).astype(np.float32)
    run, meta = tmp_path / "pretrain/slpd", {"pretrained_on": "this cohort"}
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    for name in ("slpd", "mean"):
        write_table(tmp_path / f"embeddings/{name}/regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)
        write_table(tmp_path / f"embeddings/{name}/slides.parquet", means, schemas.SLIDE_EMBEDDINGS, meta)
    write_table(run / "round_02/assignments.parquet", assigned, schemas.ASSIGNMENTS, {"round": 2})
    for folder in ("model", "round_02"):
        write_table(run / folder / "prototypes.parquet", clustered_rows(sets), schemas.PROTOTYPES, MADE_IN)
    write_table(run / "round_03/prototypes.parquet", clustered_rows(-sets), schemas.PROTOTYPES, {"round": 3})
    write_table(run / "round_03/assignments.parquet", assigned[:1], schemas.ASSIGNMENTS, {"round": 3})
    settings = PretrainRun.model_validate({"prototypes": {"count": M}}).model_dump(mode="json")
    (run / "model/config.json").write_text(json.dumps({"architecture": {}, "settings": settings} | DIGEST))
    return tmp_path, vectors, sets


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def similar(results, *words, capsys, slides_listed=True):
    find_similar.main([str(results), *words])
    slides, regions = capsys.readouterr().out.split("\n\n")
    assert slides.startswith("Slides like" if slides_listed else "No slides are like")
    return [line.split() for line in slides.splitlines()[2:]], [line.split() for line in regions.splitlines()[2:]]


def likeness(own, others):
    """Mean cosine of the best one-to-one matching of a slide with each of others."""
    one, many = unit(own), unit(others)
    orders = list(permutations(range(M)))
    return [max(np.mean([one[k] @ other[p] for k, p in enumerate(order)]) for order in orders) for other in many]


def test_slides_by_the_best_matching_of_the_models_prototypes_and_regions_by_cosine(results, capsys):
    folder, vectors, sets = results
    slides, regions = similar(folder, "s0", "-k", "4", capsys=capsys)
    like = likeness(sets[0], sets)
    best = sorted(range(2, SLIDES), key=lambda i: -like[i])[:4]  # s1 is of the same patient
    assert [line[1] for line in slides] == [f"s{i}" for i in best]
    assert [line[2] for line in slides] == [f"p{i}" for i in best]
    assert [float(line[3]) for line in slides] == pytest.approx([like[i] for i in best], abs=6e-4)
    matched = [int(one) for one in slides[0][4:]]
    again = np.mean([unit(sets[0, k]) @ unit(sets[best[0], p]) for k, p in enumerate(matched)])
    assert again == pytest.approx(like[best[0]])
    found = SlideIndex.load(folder / "pretrain/slpd/model").nearest("s0", 4, leave_out=["s1"])
    assert [line[1] for line in slides] == [one.slide_id for one in found]
    directions = unit(vectors.astype(float))
    own = directions[0].reshape(2, M, DIM).mean(axis=0)
    cosines = directions[2:] @ unit(own).T
    for k in range(M):
        mine = [line for line in regions if line[0] == str(k)]
        place = np.argsort(-cosines[..., k].ravel())[:4]
        assert [line[3] for line in mine] == [f"s{2 + i // PER_SLIDE}_r{i % PER_SLIDE}" for i in place]


def test_a_slide_of_the_test_cohort_is_compared_by_the_prototypes_that_the_same_teacher_gave_it(results, capsys):
    folder, _, sets = results
    run = folder / "pretrain/slpd"
    for of_model in ("model", "round_02"):
        write_table(run / of_model / "prototypes.parquet", clustered_rows(sets[:8]), schemas.PROTOTYPES, MADE_IN)
    table, rows = run / "round_02/test_prototypes.parquet", clustered_rows(sets[8:], 8)
    write_table(table, rows, schemas.PROTOTYPES, {"round": 3})  # seen by another teacher
    _, regions = similar(folder, "s8", capsys=capsys, slides_listed=False)
    assert {line[0] for line in regions} == {"0", "1", "2"}
    write_table(table, rows, schemas.PROTOTYPES, {"round": 2})
    slides, _ = similar(folder, "s8", "-k", "1", capsys=capsys)
    like = likeness(sets[8], sets[:8])
    assert slides[0][1] == f"s{np.argmax(like)}" and float(slides[0][3]) == pytest.approx(max(like), abs=6e-4)


def test_regions_like_a_region_are_the_same_with_the_index_of_the_workflow(results, capsys):
    folder, vectors, _ = results
    before = similar(folder, "s3_r2", "-k", "5", capsys=capsys)
    of_slide = similar(folder, "s3", "-k", "5", capsys=capsys)
    files = [folder / name for name in ("embeddings/slpd/regions.parquet", "pretrain/slpd/model/index.safetensors")]
    index_regions.main(["--regions", str(files[0]), "--output", str(files[1])])
    assert similar(folder, "s3_r2", "-k", "5", capsys=capsys) == before
    assert similar(folder, "s3", "-k", "5", capsys=capsys) == of_slide
    flat = unit(vectors.astype(float)).reshape(-1, DIM)
    cosine = flat @ flat[3 * PER_SLIDE + 2]
    cosine[3 * PER_SLIDE : 4 * PER_SLIDE] = -2
    index = RegionIndex.load(files[1])
    assert before[1][0][3] == index.region_ids[int(cosine.argmax())] and index.meta.items() >= DIGEST.items()


def test_without_prototypes_slides_are_compared_by_their_vectors(results, capsys):
    folder, vectors, _ = results
    slides, _ = similar(folder, "s4", "-k", "1", "--run", "mean", capsys=capsys)
    means = unit(vectors.mean(axis=1))
    cosine = means @ means[4]
    cosine[4] = -2
    assert slides[0][1] == f"s{cosine.argmax()}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["s99"], "s99 is no slide or region of .*regions.parquet, such as s0, s0_r0"),
        (["s0", "--run", "dino"], "does not exist; name embeddings as --run: there are mean, slpd"),
        (["s0", "-k", "0"], "-k is 0; ask for at least one"),
    ],
)
def test_what_is_not_there_is_told(results, words, says):
    with pytest.raises(UserError, match=says):
        find_similar.main([str(results[0]), *words])


def test_without_the_patients_and_with_a_model_that_lacks_its_prototypes_nothing_is_printed(results, capsys):
    folder = results[0]
    (folder / "pretrain/slpd/model/prototypes.parquet").unlink()
    with pytest.raises(UserError, match="exported by an earlier version"):
        find_similar.main([str(folder), "s0"])
    (folder / "slides.parquet").unlink()
    with pytest.raises(UserError, match="slides of a patient cannot be left out; name the cohort's results folder"):
        find_similar.main([str(folder), "s0"])
    assert not capsys.readouterr().out
