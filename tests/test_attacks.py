"""Hostile submissions gain no points, change nothing outside, stop nobody and leave no process; and each would have worked on a grader without protection."""
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from attacks.base import PROOFS, World, adopting, alarm, answer, deliver, descendants, gain, honest_seconds, survivors, try_judge, try_naive
from attacks.exercise import CHAPTER, FULL, OURS, PREDICT, SOFTMAX, WRONG, notebook, packed
from attacks.run import grade_folder, judge
from attacks.suite import ATTACKS, FAMILIES
from conftest import needs_sandbox

linux = pytest.mark.skipif(sys.platform != "linux", reason="the attacks are on Linux")
name = lambda attack: attack.id


@pytest.fixture(scope="module")
def our_judge():
    """One warm grader for all attacks, as in a class: `grade(bytes)` and `grade_folder(root)`."""
    with judge() as functions:
        yield functions


@pytest.fixture
def grade(our_judge):
    return our_judge[0]


def test_the_suite_is_large_and_nearly_all_of_it_is_proven():
    families, unproven = {a.family for a in ATTACKS}, {a.id: a.unproven for a in ATTACKS if not a.proof}
    assert len(ATTACKS) >= 50 and len(families) == len(FAMILIES) and len({a.id for a in ATTACKS}) == len(ATTACKS)
    assert all(a.proof in PROOFS or a.unproven for a in ATTACKS) and len(unproven) <= 5
    warnings.warn(f"{len(ATTACKS)} attacks in {len(families)} families; without proof: " + "; ".join(f"{k} ({v})" for k, v in unproven.items()))


@linux
@pytest.mark.parametrize("runner", ["shared", "ipython", "notebook", "exit", "reply"])
def test_the_unprotected_runner_grades_honest_students(runner):
    """It raises unless two honest students get full marks; without that the proofs below would say nothing."""
    assert honest_seconds(runner) > 0


@linux
@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.proof], ids=name)
def test_the_attack_works_where_nothing_protects(attack):
    found = try_naive(attack)
    assert found.shown[attack.proof], f"expected: {PROOFS[attack.proof]}; seen: {found}"


@needs_sandbox
@pytest.mark.parametrize("attack", ATTACKS, ids=name)
def test_the_attack_achieves_nothing(attack, our_judge):
    tried = try_judge(attack, *our_judge)
    if not tried.harmless and not tried.gained and not tried.changed:
        warnings.warn(f"{attack.id} looked as if it had stopped something or left a process, and is tried once more: {tried}")
        tried = try_judge(attack, *our_judge)       # what a busy machine does once, an attack does again
    assert tried.harmless, f"{attack.tries}: {tried}"


@needs_sandbox
def test_honest_work_gets_its_points_from_the_same_judge(grade):
    """The judge that met all attacks is as good as new, and it tells right from wrong."""
    marks = lambda *cells, **k: {o.exercise: o.points for o in grade(packed(notebook(*cells, **k)))}
    assert marks() == FULL
    assert marks(WRONG) == {"softmax": 0, "predict": 2} and marks(predict="predict = None") == {"softmax": 4, "predict": 0}


HONEST = {"full": (packed(OURS), 6), "wrong softmax": (answer(WRONG), 2), "wrong predict": (answer(SOFTMAX, predict="def predict(Z): return softmax(Z).argmin(axis=1)"), 4),
          "untouched": (answer("raise NotImplementedError()", predict="raise NotImplementedError()"), 0),
          "loud": (answer(f"import warnings\nprint('x' * 10**6); warnings.warn('careful')\n{SOFTMAX}", predict=f"{PREDICT}\n1 / 0"), 6)}


@needs_sandbox
def test_honest_neighbours_get_exactly_their_marks():
    """All attacks and an honest student after every third, in one class; nothing outside changes, and the class comes to its end."""
    with adopting(), World() as world, tempfile.TemporaryDirectory() as folder:
        root, attackers, expected = Path(folder), {}, {}
        submitted = root / "submitted"
        hand_in = lambda student, data: ((submitted / student).mkdir(parents=True), (submitted / student / f"{CHAPTER}.ipynb").write_bytes(data))
        hand_in("neighbour", packed(OURS))       # the one whose file the links lead to
        for i, attack in enumerate(ATTACKS):
            for k in range(1 + attack.twice):
                student = f"{i:03}-{k}-attacker"
                (submitted / student).mkdir()
                deliver(attack, world, submitted, student)
                attackers[student] = attack
            if i % 3 == 0:
                kind = list(HONEST)[i // 3 % len(HONEST)]
                data, expected[f"{i:03}-honest {kind}"] = HONEST[kind]
                hand_in(f"{i:03}-honest {kind}", data)
        world.before, before = world.picture(), descendants()
        with alarm(600):
            found = grade_folder(root, workers=2)
        marks = {s: sum(o.points for o in found[s]) for s in expected}
        assert marks == expected
        assert {o.points for o in found["neighbour"]} == {None}, "a second name of the file makes it suspect"
        gained = {s: [a.id, found[s]] for s, a in attackers.items() if gain(a, {o.exercise: o.points for o in found.get(s, [])})}
        assert gained == {}
        ungraded = {s for s, a in attackers.items() if s not in found} - {s for s, a in attackers.items() if a.name == "linked folder"}
        assert ungraded == set(), "everybody who handed in has an outcome"
        assert world.changes() == [] and world.heard == [] and not world.killed and survivors(world, before) == []


@needs_sandbox
def test_the_statuses_say_what_happened(grade):
    """One attack of each kind ends in the status that an instructor can act on."""
    kinds = {"loops: plain": "timeout", "loops: swallows signals": "timeout", "tampering: os._exit": "killed", "replies: oversized answer": "oversized", "replies: malformed": "malformed",
             "notebooks: empty": "unreadable"}
    found = {}
    with World() as world:
        for attack in (a for a in ATTACKS if a.id in kinds):
            found[attack.id] = grade(world.fill(attack.data))[0].status
    assert found == kinds
    assert grade(packed(dict(OURS, cells=[c for c in OURS["cells"] if c["id"] != "softmax"])))[0].status == "missing cell"
    assert grade(packed(dict(OURS, cells=OURS["cells"] + OURS["cells"][1:2])))[0].status == "duplicate cell"
