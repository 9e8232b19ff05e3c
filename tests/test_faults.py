"""One trial of each kind; `make measure` runs a hundred at other moments."""
import pytest

from conftest import needs_sandbox
from faults import Class
from faults.trial import KINDS, possible, run


@pytest.fixture(scope="module")
def the_class(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("faults"))


@needs_sandbox
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_rerun_all_is_as_if_undisturbed(the_class, kind):
    if kind not in possible(): pytest.skip("a full disk is made by mounting a small one, which needs root")
    assert not run(the_class, kind, seed=len(kind))


def test_the_class_tells_right_from_wrong(the_class):
    assert len({str(m) for m in the_class.marks.values()}) > 2
