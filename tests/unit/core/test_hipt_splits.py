"""HIPT's published splits: the real ones to their exact counts, and made ones with a fault each."""

from collections import Counter

import pytest

from workflow_scripts.config import Task
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.hipt_splits import hipt_files, read_hipt
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.task_splits import read_to_split

# cohort, classes, patients in train and test of each draw, percent of test slides whose patient is in train or val,
# slides that the published table of labels lacks
PUBLISHED = [
    ("brca", {"IDC": 831, "ILC": 210}, [12, 8, 10, 8, 8, 4, 15, 9, 13, 4], 10.5, 166),
    ("lung", {"LUAD": 528, "LUSC": 505}, [7, 12, 8, 10, 4, 6, 7, 8, 9, 12], 10.4, 75),
    ("kidney", {"CCRCC": 517, "PRCC": 294, "CHRCC": 120}, [4, 4, 3, 6, 3, 6, 6, 4, 2, 3], 5.3, 26),
]


@pytest.mark.parametrize(("cohort", "classes", "leaks", "percent", "lacking"), PUBLISHED)
def test_the_published_splits_to_their_counts(data, cohort, classes, leaks, percent, lacking):
    folder = str(data / f"labels/splits/10foldcv_subtype/tcga_{cohort}")
    rows = [SlideRow(name, f"{name}.svs", name[:12], None, {}) for name in read_hipt(folder).classes]
    task = Task(
        kind="classification",
        label="oncotree_code",
        classes=list(classes),
        other_classes="leave_out",
        table=str(data / f"labels/dataset_csv/tcga_{cohort}_subset.csv.zip"),
        splits={"kind": "hipt", "folder": folder, "as_published": True},
    )
    found = read_to_split(rows, task, "slides.csv")
    assert (task.level, found.given.design) == ("slide", "draws")
    assert Counter(found.labels.values) == classes
    assert found.labels.implied == lacking
    assert [(split.repeat, split.fold) for split in found.given.splits] == [(k, 0) for k in range(10)]
    assert [len(leak.patients) for leak in found.leaks] == leaks
    tested = sum(leak.of_test_slides for leak in found.leaks)
    assert 100 * sum(leak.test_slides for leak in found.leaks) / tested == pytest.approx(percent, abs=0.05)


def test_slides_that_the_manifest_has_not_are_counted(data):
    folder = str(data / "labels/splits/10foldcv_subtype/tcga_kidney")
    names = sorted(read_hipt(folder).classes)
    rows = [SlideRow(f"{name}.svs", f"{name}.svs", name[:12], None, {}) for name in names[::2]]
    task = Task(kind="classification", label="type", splits={"kind": "hipt", "folder": folder, "as_published": True})
    found = read_to_split(rows, task, "slides.csv")
    assert len(found.given.unknown) == len(names) - len(rows)
    assert len(found.labels.slide_ids) == len(rows)


@pytest.fixture
def folder(tmp_path):
    """Two draws of five slides, as HIPT writes them."""
    for number, (train, val, test) in enumerate([("adb", "c", "e"), ("aeb", "d", "c")]):
        columns = [list(part) + [""] * (3 - len(part)) for part in (train, val, test)]
        lines = [f"{i},{','.join(cells)}" for i, cells in enumerate(zip(*columns, strict=True))]
        (tmp_path / f"splits_{number}.csv").write_text("\n".join([",train,val,test", *lines]) + "\n")
        told = [f"{name},{name in train},{name in val},{name in test}" for name in "abcde"]
        (tmp_path / f"splits_{number}_bool.csv").write_text("\n".join([",train,val,test", *told]) + "\n")
    (tmp_path / "splits_0_descriptor.csv").write_text(",train,val,test\nX,2,0,0\nY,1,1,1\n")
    (tmp_path / "splits_1_descriptor.csv").write_text(",train,val,test\nX,1,1,0\nY,2,0,1\n")
    return tmp_path


def test_classes_are_runs_in_the_order_of_the_descriptor(folder):
    found = read_hipt(str(folder))
    assert found.draws[0] == {"a": "train", "d": "train", "b": "train", "c": "val", "e": "test"}
    assert found.classes == {"a": "X", "d": "X", "b": "Y", "c": "Y", "e": "Y"}
    assert len(hipt_files(str(folder))) == 6


def test_without_descriptors_there_are_no_classes(folder):
    for path in folder.glob("*_descriptor.csv"):
        path.unlink()
    assert read_hipt(str(folder)).classes == {}


def _edit(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("splits_0.csv", "0,a,c,e", "0,a,a,e", "slide a stands in train and val of"),
        ("splits_0.csv", ",train,val,test", ",train,val,tests", "has no column test"),
        (
            "splits_0_bool.csv",
            "c,False,True,False",
            "c,True,False,False",
            "puts slide c in train, the list beside it in val",
        ),
        ("splits_0_descriptor.csv", "X,2,0,0", "X,3,0,0", "counts 4 slides in train, the list beside it 3"),
        ("splits_0_descriptor.csv", "X,2,0,0", "X,two,0,0", "holds 'two' where a count should be"),
        ("splits_1_descriptor.csv", "X,1,1,0\nY,2,0,1", "X,1,0,0\nY,2,1,1", "slide d is X in one split and Y in"),
    ],
)
def test_files_that_contradict_each_other(folder, name, old, new, words):
    _edit(folder, name, old, new)
    with pytest.raises(UserError) as error:
        read_hipt(str(folder))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_splits(tmp_path):
    with pytest.raises(UserError, match=r"holds no splits_0\.csv"):
        read_hipt(str(tmp_path))


def test_a_label_that_contradicts_the_published_class(folder):
    rows = [SlideRow(name, name, f"p{name}", None, {"type": "Y" if name == "a" else ""}) for name in "abcde"]
    task = Task(kind="classification", label="type", splits={"kind": "hipt", "folder": str(folder)})
    with pytest.raises(UserError, match=r"column type of slide a is 'Y', but the splits in .* count it as 'X'"):
        read_to_split(rows, task, "slides.csv")
