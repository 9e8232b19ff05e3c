"""The exercise under attack: softmax (4 points) is attacked, predict (2 points) builds on it and is honest unless an attack says otherwise."""
import json

CHAPTER = "03_forward"   # its library module holds a softmax, so that importing the answer is worth trying
SETUP = "import numpy as np\nfrom course_lib.checks import expect, run_check\nDATA = np.random.default_rng(0).normal(size=(12, 4))"
SOFTMAX = "def softmax(Z):\n    E = np.exp(Z - Z.max(axis=1, keepdims=True))\n    return E / E.sum(axis=1, keepdims=True)"
PREDICT = "def predict(Z): return softmax(Z).argmax(axis=1)"
WRONG = "def softmax(Z): return 0 * Z"
CHECK_SOFTMAX = """def check_softmax(softmax, rng):
    expect(softmax, (np.array([[0.0, np.log(3.0)]]),), np.array([[0.25, 0.75]]), mistakes=[("axis", np.array([[1.0, 1.0]]), "Divide by the sum of the row.")])
    ### BEGIN HIDDEN TESTS
    Z = rng.normal(size=(3, 5))
    want = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    expect(softmax, (Z,), want, hint="It has to work for any number of rows.")
    args, want = (DATA,), np.exp(DATA) / np.exp(DATA).sum(axis=1, keepdims=True)
    expect(softmax, args, want)
    softmax(*args)   # once more, directly: some checks call the student's function themselves
    ### END HIDDEN TESTS
run_check(check_softmax, softmax)"""
CHECK_PREDICT = """def check_predict(predict, rng):
    assert list(predict(np.array([[0.0, 2.0, 1.0]]))) == [1], "the largest probability is the second"
    ### BEGIN HIDDEN TESTS
    from numpy.testing import assert_array_equal
    Z = DATA[rng.permutation(12)]
    assert_array_equal(predict(Z), Z.argmax(axis=1))
    ### END HIDDEN TESTS
run_check(check_predict, predict)"""
FULL = {"softmax": 4, "predict": 2}


def cell(text, grade_id=None, **meta):
    """A code cell with nbgrader's metadata; without a grade_id one that the student added."""
    grader = dict(schema_version=3, grade_id=grade_id, grade=False, solution=False, locked=False, task=False) | meta
    return dict(cell_type="code", id=grade_id or "own", source=text, metadata={"nbgrader": grader} if grade_id else {}, outputs=[], execution_count=None)


def notebook(softmax=SOFTMAX, predict=PREDICT, added=()):
    """The notebook with these answers; `added` are cells that the student put between an answer and its check."""
    return dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        cell(SETUP, "setup", locked=True), cell(softmax, "softmax", solution=True),
        *[cell(t) | {"id": f"own-{i}"} for i, t in enumerate(added)], cell(CHECK_SOFTMAX, "check-softmax", grade=True, points=4, locked=True),
        cell(predict, "predict", solution=True), cell(CHECK_PREDICT, "check-predict", grade=True, points=2, locked=True)])


OURS = notebook()


def packed(nb):
    return json.dumps(nb).encode()
