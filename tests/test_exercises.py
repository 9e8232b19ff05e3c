"""Every exercise notebook: what is released is current, well-formed, fails while unsolved, leaks nothing, and is graded as predicted."""
import io
import json
from contextlib import redirect_stderr

import pytest

from conftest import needs_sandbox
from course_lib.checks import CheckFailed
from course_lib.grading.grader import grade_submission
from course_lib.grading.notebook import cell_text, read_source, role
from course_lib.grading.release import leaks, read_notebook, student_version
from course_lib.grading.sample import declared_variants, sample_class
from course_lib.pipeline import chapter_module


@pytest.fixture
def notebook(chapter):
    return read_notebook(chapter.solutions)


@pytest.fixture
def released(chapter):
    return read_notebook(chapter.exercises)


def test_released_notebook_is_current(notebook, released):
    """exercises/ holds what a release of solutions/ makes now: same cells, same ids, same roles."""
    content = lambda nb: [(c["id"], c["cell_type"], cell_text(c), c["metadata"].get("nbgrader")) for c in nb["cells"]]
    assert content(released) == content(student_version(notebook))


def test_well_formed(chapter, released):
    """nbgrader's own validator accepts the metadata; points add up; each answer cell has a check or is written."""
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator
    nb = nbformat.from_dict(released)
    nbformat.validate(nb)
    MetadataValidator().validate_nb(nb)
    cells = released["cells"]
    assert sum(c["metadata"]["nbgrader"]["points"] for c in cells if role(c) in ("check", "written")) == chapter.points
    assert all(c["metadata"]["nbgrader"]["locked"] for c in cells if role(c) in ("setup", "task", "check"))
    assert not any(c.get("outputs") for c in cells)
    assert 4 <= sum(role(c) in ("check", "written") for c in cells) <= 6


def test_nothing_leaks(notebook, released):
    text = "\n".join(cell_text(c) for c in released["cells"])
    assert leaks(notebook, released) == []
    for word in ("BEGIN SOLUTION", "BEGIN HIDDEN", "wheat", "chaff", "course_lib.grading"):
        assert word not in text


def test_unsolved_notebook_fails_every_visible_check(released):
    """Run as in a student's kernel: each check cell says that the function is not written yet."""
    names, failed = {}, []
    for cell in released["cells"]:
        if cell["cell_type"] != "code":
            continue
        if role(cell) != "check":
            exec(cell_text(cell), names)
            continue
        with pytest.raises(CheckFailed, match="not written yet"), redirect_stderr(io.StringIO()):
            exec(cell_text(cell), names)
        failed.append(cell["id"])
    assert len(failed) >= 4


def test_enough_variants(notebook):
    """At least two right and five wrong solutions for each checked exercise; executing the notebook judges them."""
    variants = declared_variants(notebook)
    for x in read_source(notebook).exercises:
        if not x.check:
            continue
        mine = [v[0] for v in variants if v[3] in x.functions and v[1] in x.check]
        assert mine.count("wheat") >= 2 and mine.count("chaff") >= 5, x.name
    assert "require_strength()" in cell_text(notebook["cells"][-1]) and notebook["cells"][-1]["outputs"]


@needs_sandbox
def test_sample_class_gets_the_predicted_points(chapter, notebook, settings):
    """In the sandbox: right and other-way full marks; misconceptions, stubs, imported answers and loops what they deserve."""
    for student, (data, predicted) in sample_class(notebook, student_version(notebook), chapter_module(chapter)).items():
        outcomes = grade_submission(data, notebook, 12345, settings.grading)
        assert {o.exercise: o.points for o in outcomes} == predicted, (student, outcomes)
        if student == "one-misconception-each":
            declared = {v[1]: v[2] for v in reversed(declared_variants(notebook)) if v[0] == "chaff"}
            assert [o.tag for o in outcomes if o.tag] == list(reversed(declared.values())), "graded as declared, for the reason declared"


@needs_sandbox
def test_verdicts_do_not_depend_on_the_seed(notebook, settings):
    """The reference passes and the untouched notebook fails under ten other seeds of the hidden inputs."""
    right, stub = json.dumps(notebook).encode(), json.dumps(student_version(notebook)).encode()
    for seed in range(1000, 1010):
        assert all(o.status in ("passed", "by hand") for o in grade_submission(right, notebook, seed, settings.grading))
    assert not any(o.points for o in grade_submission(stub, notebook, 1000, settings.grading))
