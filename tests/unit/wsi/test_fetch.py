import hashlib
import http.server
import os
from functools import partial
from pathlib import Path

import pytest

from tests.servers import Site, serving, serving_s3
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import Fetched, fetched_path, record_file, remove_fetched, write_record
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.fetch import NETWORK, fetch, local_slide

CONTENT = os.urandom(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setenv(NETWORK, "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def _reason(url: str, target: Path, **options: object) -> tuple[str, str]:
    with pytest.raises(SlideError) as caught:
        fetch(url, target, pause_s=0.01, **options)
    assert not target.exists() and (not target.parent.exists() or not list(target.parent.iterdir()))
    return caught.value.reason, caught.value.detail


def test_a_whole_file_with_its_size_and_digest(tmp_path):
    with serving(Site({"/a.svs": CONTENT})) as site:
        found = fetch(f"{site.url}/a.svs", tmp_path / "x" / "a.svs", len(CONTENT), SHA)
    assert (tmp_path / "x" / "a.svs").read_bytes() == CONTENT
    assert found == Fetched(f"{site.url}/a.svs", size_bytes=len(CONTENT), sha256=SHA) and len(site.asked) == 1


def test_the_standard_library_server(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a b.svs").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "files"))
    import threading

    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert fetch(f"http://127.0.0.1:{server.server_port}/a%20b.svs", tmp_path / "a.svs").sha256 == SHA
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("name", ["ETag", "etag", "Etag"])
def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path, name):
    with serving(Site({"/a.svs": CONTENT}, break_after=[1_000_000, 500_000], tag_name=name)) as site:
        assert fetch(f"{site.url}/a.svs", tmp_path / "a.svs", pause_s=0.01).sha256 == SHA
    starts = [int(part.removeprefix("bytes=").rstrip("-") or 0) for _, part in site.asked]
    assert starts[0] == 0 and 900_000 < starts[1] <= 1_000_000 < starts[2] <= 1_500_000


def test_without_ranges_it_starts_anew(tmp_path):
    with serving(Site({"/a.svs": CONTENT}, ranges=False, break_after=[1_000_000])) as site:
        assert fetch(f"{site.url}/a.svs", tmp_path / "a.svs", pause_s=0.01).sha256 == SHA
    assert len(site.asked) == 2


def test_a_file_that_changes_between_two_tries_is_not_mixed(tmp_path):
    other = os.urandom(3_000_000)

    class Changing(dict):
        def get(self, key):
            content = CONTENT if not site.asked[1:] else other
            site.tag = '"one"' if content is CONTENT else '"two"'
            return content

    with serving(Site(Changing(), break_after=[1_000_000])) as site:
        fetch(f"{site.url}/a.svs", tmp_path / "a.svs", pause_s=0.01)
    assert (tmp_path / "a.svs").read_bytes() == other


@pytest.mark.parametrize(
    ("statuses", "reason", "requests"),
    [
        ([404], "missing_file", 1),
        ([410], "missing_file", 1),
        ([403], "fetch_failed", 1),
        ([401], "fetch_failed", 1),
        ([400], "fetch_failed", 1),
        ([503] * 4, "fetch_failed", 4),
    ],
)
def test_refusals_of_a_server(tmp_path, statuses, reason, requests):
    with serving(Site({"/a.svs": CONTENT}, statuses=list(statuses))) as site:
        found, detail = _reason(f"{site.url}/a.svs", tmp_path / "a.svs")
        assert found == reason and site.url in detail and len(site.asked) == requests


def test_a_server_that_comes_back(tmp_path):
    with serving(Site({"/a.svs": CONTENT}, statuses=[503, 429, 500])) as site:
        assert fetch(f"{site.url}/a.svs", tmp_path / "a.svs", pause_s=0.01).sha256 == SHA


def test_another_size_or_digest_is_refused(tmp_path):
    with serving(Site({"/a.svs": CONTENT})) as site:
        reason, detail = _reason(f"{site.url}/a.svs", tmp_path / "a.svs", size_bytes=7)
        assert reason == "fetch_failed" and "3000000 bytes instead of 7" in detail
        reason, detail = _reason(f"{site.url}/a.svs", tmp_path / "a.svs", sha256="0" * 64)
        assert reason == "fetch_failed" and SHA in detail


def test_no_server_at_all(tmp_path):
    with serving(Site({})) as site:
        pass
    assert _reason(f"{site.url}/a.svs", tmp_path / "a.svs")[0] == "fetch_failed"


def test_nothing_is_asked_without_leave(tmp_path, monkeypatch):
    monkeypatch.delenv(NETWORK)
    with serving(Site({"/a.svs": CONTENT})) as site, pytest.raises(UserError, match=r"cohort\.allow_network"):
        fetch(f"{site.url}/a.svs", tmp_path / "a.svs")
    assert site.asked == []


def test_a_file_with_the_wanted_digest_is_kept(tmp_path):
    (tmp_path / "a.svs").write_bytes(CONTENT)
    with serving(Site({"/a.svs": CONTENT})) as site:
        assert fetch(f"{site.url}/a.svs", tmp_path / "a.svs", sha256=SHA).size_bytes == len(CONTENT)
        assert site.asked == []


@pytest.mark.parametrize("name", ["a.mrxs", "a.VMS", "a.dcm"])
def test_formats_of_several_files_are_refused(tmp_path, name):
    reason, detail = _reason(f"https://host.invalid/{name}", tmp_path / name)
    assert reason == "fetch_failed" and "several files" in detail


def test_a_removed_slide_is_fetched_again_and_must_be_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(Site({"/a.svs": CONTENT})) as site:
        path = fetched_path("c", "s.1", f"{site.url}/a.svs")
        write_record(record_file(path), fetch(f"{site.url}/a.svs", path))
        assert local_slide(path) == path and len(site.asked) == 1
        remote = ("c", "s.1", f"{site.url}/a.svs")
        assert remove_fetched(*remote) and not Path(path).parent.exists() and not remove_fetched(*remote)
        assert local_slide(path) == path and Path(path).read_bytes() == CONTENT and len(site.asked) == 2
        assert remove_fetched(*remote)
        site.files["/a.svs"] = CONTENT[::-1]
        with pytest.raises(UserError, match="another file"):
            local_slide(path)
    assert local_slide("any/local/file.svs") == "any/local/file.svs"


@pytest.mark.parametrize("reason", ["missing_file", "fetch_failed"])
def test_what_could_not_be_fetched_at_first_stays_data(tmp_path, monkeypatch, reason):
    monkeypatch.chdir(tmp_path)
    path = fetched_path("c", "s", "https://host.invalid/a.svs")
    write_record(record_file(path), Fetched("https://host.invalid/a.svs", reason, "why"))
    with pytest.raises(SlideError, match="why") as caught:
        local_slide(path)
    assert caught.value.reason == reason


def test_s3(tmp_path, monkeypatch):
    pytest.importorskip("moto", reason="moto of envs/requirements-dev.txt is not installed")
    with serving_s3({("bucket", "deep/a b#1.svs"): CONTENT}) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        found = fetch("s3://bucket/deep/a b#1.svs", tmp_path / "a.svs", len(CONTENT), SHA)
        assert (tmp_path / "a.svs").read_bytes() == CONTENT and found.sha256 == SHA
        target = tmp_path / "none" / "b.svs"
        assert _reason("s3://bucket/deep/none.svs", target)[0] == "missing_file"
        assert _reason("s3://nobucket/deep/a.svs", target)[0] == "missing_file"
        assert _reason("s3://bucket/deep/a b#1.svs", target, size_bytes=1)[0] == "fetch_failed"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", "The config profile (nope) could not be found"),
        ("[profile nope]\ncredential_process = false\n", "retrieving credentials"),
    ],
)
def test_s3_settings_that_cannot_be_used(tmp_path, monkeypatch, settings, words):
    pytest.importorskip("boto3", reason="envs/requirements-remote.txt is not installed")
    (tmp_path / "config").write_text(settings)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_PROFILE", "nope")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    reason, detail = _reason("s3://bucket/a.svs", tmp_path / "new" / "a.svs")
    assert reason == "fetch_failed" and words in detail and "AWS_PROFILE" in detail
