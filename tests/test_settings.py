"""settings.ini: the shared names agree with pyproject.toml, and every wrong value is one clear error."""
import tomllib

import pytest

import course_lib
from course_lib.settings import CourseError, read_settings


def test_shared_names_equal_pyproject(root, settings):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf8"))
    tool = project["tool"]["nbdev"]
    expected = {"lib_name": project["project"]["name"], "lib_path": tool["lib_path"], "nbs_path": tool["nbs_path"], "doc_path": tool["doc_path"],
                "version": course_lib.__version__, "min_python": project["project"]["requires-python"].removeprefix(">="),
                "license": project["project"]["license"], "description": project["project"]["description"]}
    assert settings.shared == expected


@pytest.mark.parametrize("old, new, named", [
    ("seeds = 0, 1, 2", "seeds = zero", "seeds"),
    ("lab_port = 8888", "lab_port = http", "lab_port"),
    ("timezone = Asia/Shanghai", "timezone = Mars/Olympus", "timezone"),
    ("memory_mb = 4096", "memory_mb = -1", "memory_mb"),
    ("memory_mb = 4096", "", "memory_mb"),
    ("03_forward = 20", "03_forward = many", "03_forward"),
    ("2027-03-15 23:59", "next Monday", "deadlines"),
    ("[chapters]", "[chapters", "does not parse"),
    ("[chapters]", "[chapter_list]", "chapters"),
])
def test_wrong_value_is_named(root, tmp_path, old, new, named):
    text = (root / "settings.ini").read_text(encoding="utf8")
    assert old in text
    (tmp_path / "settings.ini").write_text(text.replace(old, new, 1), encoding="utf8")
    with pytest.raises(CourseError, match=named) as error:
        read_settings(tmp_path)
    assert "\n" not in str(error.value)


def test_unknown_chapter_lists_the_known(settings):
    with pytest.raises(CourseError, match="03_forward"):
        settings.chapter("nonsense")


def test_no_settings_file(tmp_path):
    with pytest.raises(CourseError, match="settings.ini"):
        read_settings(tmp_path)
