"""What pretraining saw of the slides that are tested."""

import pyarrow as pa
import pytest

from workflow_scripts.core.embeddings import seen_facts
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.schemas import SPLITS
from workflow_scripts.mil.jobs import require_unseen, seen_in_tests

SLIDES = [f"s{i}" for i in range(6)]


def _splits():
    """Two repeats of two folds of six slides, and a smaller budget."""
    rows = []
    for repeat in range(2):
        for fold in range(2):
            for budget in ("all", "50%"):
                for number, slide in enumerate(SLIDES):
                    part = "test" if (number // (2 + repeat)) % 2 == fold else "train"
                    rows.append(dict(zip(SPLITS.names, (slide, slide, repeat, fold, budget, part), strict=True)))
    return pa.Table.from_pylist(rows, schema=SPLITS)


def test_seen_slides_are_counted_by_fold_of_the_first_repeat():
    splits = _splits()  # fold 0 tests s0, s1, s4 and s5
    assert seen_in_tests(splits, ["all"]) == [[4, 4], [2, 2]]
    assert seen_in_tests(splits, ["none"]) == [[0, 4], [0, 2]]
    assert seen_in_tests(splits, [["s1", "s2", "s9"]]) == [[1, 4], [1, 2]]
    assert seen_in_tests(splits, [["s2", "s3"], ["s0", "s1", "s2"]]) == [[0, 4], [1, 2]]


def test_embeddings_tell_what_was_seen():
    assert seen_facts([], SLIDES)["saw"] == "none"
    assert seen_facts(SLIDES[::-1], SLIDES)["saw"] == "all"
    assert seen_facts([*SLIDES, "s9"], SLIDES) | {"saw_digest": ""} == {"saw": "all", "n_saw": 7, "saw_digest": ""}
    found = seen_facts(["s3", "s1"], SLIDES)
    assert (found["saw"], found["n_saw"]) == (["s1", "s3"], 2)
    assert found == seen_facts(["s1", "s3"], SLIDES) and found["saw_digest"] != seen_facts(["s1"], SLIDES)["saw_digest"]


def test_a_seen_test_slide_is_refused_where_none_may_be():
    require_unseen("clean", [[0, 4], [0, 2]])
    with pytest.raises(UserError, match="for fold 1 on 2 of the slides"):
        require_unseen("clean", [[0, 4], [2, 2]])
