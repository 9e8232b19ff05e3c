"""Classes to grade: notebooks of an instructor and submissions made from right and wrong answers."""
import json

from course_lib.grading.notebook import read_notebook, read_source
from course_lib.grading.release import student_version
from course_lib.grading.sample import variant_submissions

KERNEL = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}, "language_info": {"name": "python"}}


def _cell(text, name, kind="code", **meta):
    grader = dict(schema_version=3, grade_id=name, grade=False, solution=False, locked=False, task=False) | meta
    return dict(cell_type=kind, id=name, source=text, metadata={"nbgrader": grader}, outputs=[], execution_count=None)


def torch_notebook():
    """A chapter whose setup imports PyTorch: a loss and one step of an optimiser, each checked against numpy."""
    setup = "import numpy as np, torch\nfrom course_lib.checks import expect, run_check"
    loss = '''def cross_entropy(logits, labels):
    "Mean cross-entropy of logits (n, c) and labels (n,), as a float."
    ### BEGIN SOLUTION
    return torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item()
    ### END SOLUTION'''
    check_loss = '''def check_cross_entropy(cross_entropy, rng):
    expect(cross_entropy, (np.zeros((2, 4)), np.array([1, 3])), np.log(4), rtol=1e-6)
    ### BEGIN HIDDEN TESTS
    z, y = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expect(cross_entropy, (z, y), -np.log(p[np.arange(5), y]).mean(), rtol=1e-6)
    ### END HIDDEN TESTS
run_check(check_cross_entropy, cross_entropy, hidden=1)'''
    step = '''def sgd_step(w, x, y, rate):
    "The weights (d,) after one step of torch.optim.SGD on the mean squared error of x (n, d) and y (n,)."
    ### BEGIN SOLUTION
    weights = torch.tensor(w, requires_grad=True)
    ((torch.tensor(x) @ weights - torch.tensor(y)) ** 2).mean().backward()
    torch.optim.SGD([weights], lr=rate).step()
    return weights.detach().numpy()
    ### END SOLUTION'''
    check_step = '''def check_sgd_step(sgd_step, rng):
    expect(sgd_step, (np.zeros(2), np.eye(2), np.array([1.0, 2.0]), 0.5), np.array([0.5, 1.0]), rtol=1e-6)
    ### BEGIN HIDDEN TESTS
    w, x, y = rng.normal(size=3), rng.normal(size=(4, 3)), rng.normal(size=4)
    expect(sgd_step, (w, x, y, 0.1), w - 0.1 * 2 * x.T @ (x @ w - y) / 4, rtol=1e-6)
    ### END HIDDEN TESTS
run_check(check_sgd_step, sgd_step, hidden=1)'''
    return dict(nbformat=4, nbformat_minor=5, metadata=KERNEL, cells=[
        _cell(setup, "setup", locked=True),
        _cell(loss, "cross_entropy", solution=True), _cell(check_loss, "check-cross-entropy", grade=True, points=4, locked=True),
        _cell(step, "sgd_step", solution=True), _cell(check_step, "check-sgd-step", grade=True, points=4, locked=True)])


TORCH_ANSWERS = {"cross_entropy": ["def cross_entropy(logits, labels): return torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction='sum').item()",
                                   "def cross_entropy(logits, labels): return torch.nn.NLLLoss()(torch.log_softmax(torch.tensor(logits), 1), torch.tensor(labels)).item()"]}


def _with(released, answers):
    cells = [{**c, "source": answers.get(c["metadata"].get("nbgrader", {}).get("grade_id"), c["source"])} for c in released["cells"]]
    return {**released, "cells": cells}


def torch_class():
    """The instructor's notebook and four different submissions."""
    ours = torch_notebook()
    released, solutions = student_version(ours), read_source(ours).solutions
    answers = [solutions, {}, *({**solutions, "cross_entropy": a} for a in TORCH_ANSWERS["cross_entropy"])]
    return ours, [json.dumps(_with(released, a)).encode() for a in answers]


def numpy_class(chapter):
    """The chapter's notebook and submissions: the reference, nothing, and the reference with each declared variant of numpy in its place."""
    ours = read_notebook(chapter.solutions)
    released, solutions = student_version(ours), read_source(ours).solutions
    variants = []
    for _, _, _, _, data in variant_submissions(ours, released):
        if b"torch" in data: continue
        cell = next(c for c in json.loads(data)["cells"] if c["metadata"].get("nbgrader", {}).get("solution") and not c["metadata"]["nbgrader"]["grade"])
        variants.append({**solutions, cell["metadata"]["nbgrader"]["grade_id"]: cell["source"]})
    return ours, [json.dumps(_with(released, a)).encode() for a in (solutions, {}, *variants)]


def write_class(folder, name, submissions, students):
    """Write `students` submissions, cycling through the different ones; no two files are equal."""
    for k in range(students):
        notebook = json.loads(submissions[k % len(submissions)])
        notebook["metadata"] = {**notebook["metadata"], "student": f"s{k:04}"}
        path = folder / f"s{k:04}" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook))
