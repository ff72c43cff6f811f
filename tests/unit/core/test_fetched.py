import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import (
    Fetched,
    check_remote,
    fetched_path,
    is_remote,
    read_record,
    record_file,
    remove_fetched,
)
from workflow_scripts.core.fetched import write_record as write


@pytest.mark.parametrize("path", ["https://h/a.svs", "HTTP://h:80/b/a.svs", "s3://bucket/a b.svs"])
def test_addresses(path):
    assert is_remote(path)
    check_remote(path, "here")


@pytest.mark.parametrize("path", ["/a/b.svs", "a.svs", "C:/a.svs", "https/a.svs", "./s3:/x"])
def test_local_paths(path):
    assert not is_remote(path)
    check_remote(path, "here")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gs://bucket/a.svs", "cannot be fetched by gs://"),
        ("https://host", "names no file"),
        ("s3://bucket/", "names no file"),
        ("https://me:secret@host/a.svs", "password"),
    ],
)
def test_addresses_that_cannot_be_fetched(path, words):
    with pytest.raises(UserError, match=words) as caught:
        check_remote(path, "slides.csv line 3")
    assert str(caught.value).startswith("slides.csv line 3") and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/x/a.svs", "a.svs"),
        ("https://h/x/a%20b.svs?token=1#y", "a_b.svs"),
        ("s3://b/x/a#1?.svs", "a_1_.svs"),
        ("https://h/..", "slide"),
        ("https://h/x/%2e%2e%2fpasswd", "passwd"),
        ("https://h/x/", "x"),
    ],
)
def test_the_file_stays_in_its_folder(url, name):
    assert fetched_path("c", "s.1", url) == f"results/c/fetched/s.1/{name}"


@pytest.mark.parametrize("path", ["x.svs", "./x.svs", "../x.svs", "/x.svs", "fetched/x.svs", "/fetched/x.svs"])
def test_a_slide_outside_a_folder_of_its_own_has_no_record(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert read_record(path) is None


def test_records_come_back(tmp_path):
    path = tmp_path / fetched_path("c", "s.1", "https://h/a.svs")
    assert read_record(path) is None and record_file(path).name == "s.1.json"
    record = Fetched("https://h/a.svs", "fetch_failed", "why", attempt=2)
    write(record_file(path), record)
    assert read_record(path) == record
    (tmp_path / "x.json").write_text("{}")
    assert read_record(tmp_path / "x" / "a.svs") is None  # no folder `fetched`: a slide of the user's own


def test_only_what_this_cohort_has_fetched_is_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = "https://h/s.svs"
    paths = {name: tmp_path / fetched_path(name, "s", url) for name in ("a", "b")}
    for path in paths.values():
        write(record_file(path), Fetched(url, size_bytes=1, sha256="0" * 64))
        path.parent.mkdir()
        path.touch()
    mine = paths["b"].with_name("my_notes.txt")
    mine.touch()
    assert not remove_fetched("b", "s", "results/a/fetched/s/s.svs") and not remove_fetched("b", "s", str(paths["a"]))
    assert not remove_fetched("b", "s", str(paths["b"])) and not remove_fetched("b", "s", "https://h/other.svs")
    assert all(path.exists() for path in paths.values())
    assert remove_fetched("b", "s", url) and not remove_fetched("b", "s", url)
    assert paths["a"].exists() and mine.exists() and record_file(paths["b"]).exists() and not paths["b"].exists()
