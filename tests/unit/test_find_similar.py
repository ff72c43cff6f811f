"""`slpd similar` on a small cohort: slides by brute force over permutations, regions by cosine, and what is refused."""

from itertools import permutations

import numpy as np
import pytest

from workflow_scripts import find_similar, index_regions
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import write_table
from workflow_scripts.search.region_index import RegionIndex

SLIDES, PER_SLIDE, M, DIM = 9, 6, 3, 5


@pytest.fixture
def results(tmp_path):
    """Nine slides, two of one patient, of six regions each in three prototypes."""
    random = np.random.default_rng(0)
    regions, assigned = [], []
    for slide in range(SLIDES):
        for number in range(PER_SLIDE):
            ids = {"slide_id": f"s{slide}", "region_id": f"s{slide}_r{number}"}
            regions.append({**ids, "vector": random.normal(size=DIM)})
            assigned.append({**ids, "prototype": number % M, "similarity": 0.5})
    slides = [{"slide_id": f"s{i}", "patient_id": f"p{max(i, 1)}", "status": "ok"} for i in range(SLIDES)]
    meta = {"pretrained_on": "this cohort"}
    write_table(tmp_path / "slides.parquet", slides, schemas.SLIDES)
    write_table(tmp_path / "embeddings/slpd/regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)
    write_table(tmp_path / "pretrain/slpd/round_02/assignments.parquet", assigned, schemas.ASSIGNMENTS)
    vectors = np.array([row["vector"] for row in regions], dtype=np.float32).reshape(SLIDES, PER_SLIDE, DIM)
    return tmp_path, vectors


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def similar(results, *words, capsys):
    find_similar.main([str(results), *words])
    slides, regions = capsys.readouterr().out.split("\n\n")
    return [line.split() for line in slides.splitlines()[2:]], [line.split() for line in regions.splitlines()[2:]]


def test_slides_by_the_best_matching_of_prototypes_and_regions_by_cosine(results, capsys):
    folder, vectors = results
    sets = unit(vectors.reshape(SLIDES, 2, M, DIM).mean(axis=1))
    slides, regions = similar(folder, "s0", "-k", "4", capsys=capsys)
    likeness = [
        max(np.mean([sets[0, k] @ one[p] for k, p in enumerate(o)]) for o in permutations(range(M))) for one in sets
    ]
    best = sorted(range(2, SLIDES), key=lambda i: -likeness[i])[:4]  # s1 is of the same patient
    assert [line[1] for line in slides] == [f"s{i}" for i in best]
    assert [float(line[3]) for line in slides] == pytest.approx([likeness[i] for i in best], abs=6e-4)
    matched = [int(one) for one in slides[0][4:]]
    assert np.mean([sets[0, k] @ sets[best[0], p] for k, p in enumerate(matched)]) == pytest.approx(likeness[best[0]])
    cosines = unit(vectors.astype(float))[2:] @ sets[0].T
    for k in range(M):
        mine = [line for line in regions if line[0] == str(k)]
        place = np.argsort(-cosines[..., k].ravel())[:4]
        assert [line[3] for line in mine] == [f"s{2 + i // PER_SLIDE}_r{i % PER_SLIDE}" for i in place]


def test_regions_like_a_region_are_the_same_with_the_index_of_the_workflow(results, capsys):
    folder, vectors = results
    before = similar(folder, "s3_r2", "-k", "5", capsys=capsys)
    files = [folder / "embeddings/slpd" / name for name in ("regions.parquet", "index.safetensors")]
    index_regions.main(["--regions", str(files[0]), "--output", str(files[1])])
    assert similar(folder, "s3_r2", "-k", "5", capsys=capsys) == before
    flat = unit(vectors.astype(float)).reshape(-1, DIM)
    cosine = flat @ flat[3 * PER_SLIDE + 2]
    cosine[3 * PER_SLIDE : 4 * PER_SLIDE] = -2
    assert before[1][0][3] == RegionIndex.load(files[1]).region_ids[int(cosine.argmax())]


def test_without_prototypes_slides_are_compared_by_their_means(results, capsys):
    folder, vectors = results
    (folder / "pretrain/slpd/round_02/assignments.parquet").unlink()
    slides, _ = similar(folder, "s4", "-k", "1", capsys=capsys)
    means = unit(vectors.mean(axis=1))
    cosine = means @ means[4]
    cosine[4] = -2
    assert slides[0][1] == f"s{cosine.argmax()}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["s99"], "s99 is no slide or region of .*regions.parquet, such as s0, s0_r0"),
        (["s0", "--run", "dino"], "does not exist; name embeddings as --run: there are slpd"),
        (["s0", "-k", "0"], "-k is 0; ask for at least one"),
    ],
)
def test_what_is_not_there_is_told(results, words, says):
    with pytest.raises(UserError, match=says):
        find_similar.main([str(results[0]), *words])
