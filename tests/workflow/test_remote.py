"""Remote slides in a cohort: fetched once, checked, removed after the features, and only what is needed again."""

import hashlib
from pathlib import Path

import pytest

from tests.servers import Site, serving, serving_s3
from tests.workflow.tiny import CONFIG, changed, make_project, planned, snakemake, write_config
from workflow_scripts.core.tables import read_table

FETCHED = Path("results/tiny/fetched")


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "SLPD_NETWORK"):
        monkeypatch.delenv(name, raising=False)


def table(folder: Path) -> dict[str, dict]:
    return {row["slide_id"]: row for row in read_table(folder / "results/tiny/slides.parquet").to_pylist()}


def remote(folder: Path, prefix: str, more: list[str] = ()) -> tuple[dict[str, bytes], list[str]]:
    """A tiny project whose slides have moved to a server: their content by name, and their ids."""
    make_project(folder, slides=2, side_px=768)
    files = {path.name: path.read_bytes() for path in sorted((folder / "slides").iterdir())}
    for path in (folder / "slides").iterdir():
        path.unlink()
    names = list(files)
    lines = ["slide_id,path,size_bytes,sha256"]
    for name, content in files.items():
        size, digest = ("", "") if name == names[0] else (len(content), hashlib.sha256(content).hexdigest())
        lines.append(f"{name.partition('.')[0]},{prefix}/{name},{size},{digest}")
    (folder / "slides.csv").write_text("\n".join([*lines, *more]) + "\n")
    return files, [name.partition(".")[0] for name in names]


def config(folder: Path, keep: bool = True, **more: object) -> dict:
    made = changed(CONFIG, "cohort.allow_network", True) | {"benchmark": {}}
    made = changed(changed(made, "cohort.max_failed_fraction", 0.8), "slides.keep_fetched", keep)
    for key, value in more.items():
        made = changed(made, key.replace("__", "."), value)
    write_config(folder, made)
    return made


def features(folder: Path) -> None:
    result = snakemake(folder, "features")
    assert result.returncode == 0, result.stdout[-5000:]


def test_http_slides_are_fetched_once_and_only_again_where_needed(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    with serving(Site({})) as site:
        bad = [f"lost,{site.url}/lost.svs,,", f"other,{site.url}/other.svs,99,", f"folder,{site.url}/m.mrxs,,"]
        files, ids = remote(folder, site.url, bad)
        site.files.update({f"/{name}": content for name, content in files.items()} | {"/other.svs": b"x" * 98})
        config(folder, keep=False)
        features(folder)

        rows = table(folder)
        assert {name: rows[name]["status"] for name in ids} == dict.fromkeys(ids, "ok")
        reasons = {name: rows[name]["reason"] for name in ("lost", "other", "folder")}
        assert reasons == {"lost": "missing_file", "other": "fetch_failed", "folder": "fetch_failed"}
        assert "98 bytes instead of 99" in rows["other"]["detail"] and "several files" in rows["folder"]["detail"]
        asked = sorted(path for path, _ in site.asked)
        assert asked == sorted([*site.files, "/lost.svs"])  # each once, for check, tissue and features together
        left = [path for path in (folder / FETCHED).rglob("*") if path.is_file()]
        assert sorted(path.name for path in left) == sorted(f"{name}.json" for name in [*ids, *reasons])

        assert planned(folder, "features") == {}
        (folder / "slides.csv").open("a").write(f"late,{site.url}/late.svs,,\n")
        site.files["/late.svs"] = site.files[f"/{next(iter(files))}"]
        site.asked.clear()
        before = stamps(folder, ids)
        site.files["/lost.svs"] = site.files["/late.svs"] + b"\0"
        config(folder, keep=False, cohort__fetch_attempt=2)
        assert planned(folder, "features")["fetch_slide"] == 4
        features(folder)  # only the new one is fetched, and what failed is tried again
        assert sorted(path for path, _ in site.asked) == ["/late.svs", "/lost.svs", "/other.svs"]
        assert (
            table(folder)["lost"]["status"] == table(folder)["late"]["status"] == "ok" and stamps(folder, ids) == before
        )
        assert planned(folder, "features") == {}

        site.asked.clear()
        config(folder, cohort__fetch_attempt=2, regions__min_tissue_fraction=0.2, cohort__allow_network=False)
        assert snakemake(folder, "regions").returncode == 0 and site.asked == []  # regions need no pixels


def stamps(folder: Path, ids: list[str]) -> list[int]:
    """When each slide's features were written."""
    return [(folder / f"results/tiny/features/lite0/slides/{name}.parquet").stat().st_mtime_ns for name in ids]


def test_s3_slides_are_kept_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("moto", reason="moto of envs/requirements-dev.txt is not installed")
    folder = tmp_path / "tiny"
    files, ids = remote(folder, "s3://bucket/deep", ["lost,s3://bucket/deep/lost.svs,,"])
    with serving_s3({("bucket", f"deep/{name}"): content for name, content in files.items()}) as url:
        for name, value in (
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        config(folder)
        features(folder)
    rows = table(folder)
    assert {row["status"] for name, row in rows.items() if name != "lost"} == {"ok"}
    assert rows["lost"]["reason"] == "missing_file"
    for slide_id, content in zip(ids, files.values(), strict=True):
        assert Path(folder / rows[slide_id]["path"]).read_bytes() == content
    # the server is gone, and so is the leave to ask it: what was fetched is enough
    config(folder, cohort__allow_network=False, tissue__closing_um=16)
    features(folder)
    assert {row["status"] for name, row in table(folder).items() if name != "lost"} == {"ok"}


def test_remote_slides_need_leave(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    remote(folder, "https://host.invalid")
    write_config(folder, CONFIG | {"benchmark": {}})
    result = snakemake(folder, "-n")
    assert result.returncode != 0 and "Traceback" not in result.stdout
    assert "2 slides of the manifest" in result.stdout and "set cohort.allow_network: true" in result.stdout
