import os

from workflow_scripts.core.stale_files import remove_stale


def _write(folder, *names):
    for name in names:
        (folder / name).write_text(name)
    remove_stale(folder, names)
    return {name for name in os.listdir(folder) if not name.startswith(".")}


def test_what_is_not_written_any_more_goes_and_what_others_wrote_stays(tmp_path):
    (tmp_path / "mine.png").write_text("")
    assert _write(tmp_path, "a.png", "b.png") == {"mine.png", "a.png", "b.png"}
    assert _write(tmp_path, "b.png", "c.png") == {"mine.png", "b.png", "c.png"}
    (tmp_path / "c.png").unlink()  # by hand
    assert _write(tmp_path) == {"mine.png"}
