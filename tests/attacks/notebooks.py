"""The submitted file is not what was released: cells moved, checks edited, metadata changed, or no notebook at all."""
import copy
import gzip
import io
import json
import zipfile

from .base import Attack
from .exercise import OURS, WRONG, cell, notebook, packed

NOTHING = {"softmax": 0, "predict": 0}
LARGEST = "def predict(Z): return Z.argmax(axis=1)"   # honest, and right without softmax
SETUP, ANSWER, CHECK, PREDICT, CHECK_PREDICT = range(5)


def edited(change):
    """The bytes of a wrong answer's notebook after `change(notebook, cells)`."""
    nb = copy.deepcopy(notebook(WRONG, LARGEST))
    change(nb, nb["cells"])
    return packed(nb).replace(b"Infinity", b"1e999")


def grader(c):
    return c["metadata"]["nbgrader"]


def change(name, tries, how, **more):
    return Attack("notebooks", name, tries, edited(how), runner="notebook", **more)


def raw(name, tries, data, **more):
    return Attack("notebooks", name, tries, data, runner="notebook", proof=more.pop("proof", "stopped"), honest=more.pop("honest", NOTHING), **more)


def setter(place, **values):
    return lambda nb, cells: grader(cells[place]).update(values)


def top(**values):
    return lambda nb, cells: nb.update(values)


def swap_answer_ids(nb, cells):
    grader(cells[ANSWER])["grade_id"], grader(cells[PREDICT])["grade_id"] = "predict", "softmax"
    grader(cells[CHECK])["points"] = 0
    grader(cells[CHECK_PREDICT])["points"] = 6


def move_check(nb, cells):
    cells.insert(CHECK, cell("def run_check(*a): return None") | {"id": "before"})
    cells.append(cells.pop(CHECK + 1))


def worksheets(nb, cells):
    nb.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": [dict(c, input=c["source"]) for c in cells]}])
    del nb["cells"]


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("03_forward.ipynb", b" " * (50 << 20))
    return out.getvalue()


HONEST_CELLS, WRONG_TEXT = json.dumps(OURS["cells"]), json.dumps(notebook(WRONG, LARGEST))
TAMPERED = json.dumps([c if c["id"] != "check-softmax" else c | {"source": "pass"} for c in notebook(WRONG, LARGEST)["cells"]])
ATTACKS = [
    change("edited check", "the check cell says pass", lambda nb, cells: cells[CHECK].update(source="pass")),
    change("own check", "the check cell checks nothing", lambda nb, cells: cells[CHECK].update(source="def check_softmax(softmax, rng): pass\nrun_check(check_softmax, softmax)")),
    change("deleted check", "the check that would fail is not there, which leaves full marks in the rest", lambda nb, cells: cells.pop(CHECK)),
    change("moved check", "the check stands behind a cell that redefines run_check", move_check),
    change("check twice", "the check that holds stands there twice", lambda nb, cells: cells.append(copy.deepcopy(cells[CHECK_PREDICT]) | {"id": "again"})),
    change("points", "an exercise is worth 1,000 points", setter(CHECK_PREDICT, points=1000)),
    change("points of the failed check", "the check that would fail is worth nothing", setter(CHECK, points=0)),
    change("negative points", "the check that would fail is worth -1 points", setter(CHECK, points=-1)),
    change("bonus", "an added cell is a check worth 100 points", lambda nb, cells: cells.append(cell("pass", "bonus", grade=True, points=100))),
    change("graded answer", "the answer cell is a check", setter(ANSWER, grade=True, points=50)),
    change("check that is no check", "the check that would fail has lost its grade flag", setter(CHECK, grade=False)),
    change("check as text", "the check that would fail is a markdown cell", lambda nb, cells: cells[CHECK].update(cell_type="markdown")),
    change("unlocked setup", "the setup cell redefines run_check", lambda nb, cells: cells[SETUP].update(source=cells[SETUP]["source"] + "\ndef run_check(*a): return None")),
    change("names of the answers", "the answer cells have each other's name", swap_answer_ids),
    change("answers in the setup cell", "the setup cell holds a passing run_check and the answers are elsewhere", lambda nb, cells: (cells[SETUP].update(source="import numpy as np\ndef run_check(*a): return None\nexpect = run_check"), grader(cells[SETUP]).update(solution=True))),
    change("points that are no number", "points are NaN", setter(CHECK_PREDICT, points=float("nan")), proof="stopped"),
    change("points without end", "points are 1e999", setter(CHECK_PREDICT, points=float("inf")), proof="stopped"),
    change("points as text", "points are the text 1000", setter(CHECK_PREDICT, points="1000"), proof="stopped"),
    change("schema 99", "metadata of a version to come", setter(CHECK_PREDICT, schema_version=99), proof="stopped"),
    change("schema as text", "the version is no number", setter(CHECK_PREDICT, schema_version="new"), proof="stopped"),
    change("nbformat 99", "a notebook of a version to come", top(nbformat=99), proof="stopped"),
    change("nbformat 3", "a notebook of an old version, without a list of cells", worksheets, proof="stopped", honest=NOTHING),
    change("nbformat as text", "the version is no number", top(nbformat="four"), proof="stopped"),
    change("no nbformat", "the version is missing", lambda nb, cells: nb.pop("nbformat"), proof="stopped"),
    change("cells without id", "no cell has an id", lambda nb, cells: [c.pop("id") for c in cells], proof="stopped"),
    change("one id for all", "every cell has the same id", lambda nb, cells: [c.update(id="same") for c in cells], proof="stopped"),
    change("id that is no text", "a cell id is a list", lambda nb, cells: cells[CHECK].update(id=[1]), proof="stopped"),
    change("no cell type", "a cell has no type", lambda nb, cells: cells[CHECK].pop("cell_type"), proof="stopped", honest=NOTHING),
    change("metadata is a list", "metadata is no dict", lambda nb, cells: cells[CHECK].update(metadata=[]), proof="stopped"),
    change("metadata is missing", "there is no metadata", lambda nb, cells: cells[CHECK].pop("metadata"), proof="stopped"),
    change("grader is text", "nbgrader's metadata is a text", lambda nb, cells: cells[CHECK]["metadata"].update(nbgrader="grade"), proof="stopped"),
    change("surrogate", "a name that cannot be encoded", setter(CHECK_PREDICT, grade_id="check-\ud800"), proof="stopped"),
    change("source is a number", "a cell's source is a number", lambda nb, cells: cells[CHECK].update(source=5), proof="stopped"),
    change("source is a list of numbers", "a cell's source is a list of numbers", lambda nb, cells: cells[ANSWER].update(source=[5]), proof="stopped", honest=NOTHING),
    change("cells is a dict", "the cells have names", lambda nb, cells: nb.update(cells=dict(enumerate(cells))), proof="stopped", honest=NOTHING),
    *[change(f"grade id {i!r:.12}", "the name of a check is no usable text", setter(CHECK_PREDICT, grade_id=i), proof="stopped") for i in ([], {}, None, 5)],
    raw("same key twice", "JSON with two lists of cells; the later one has an edited check", f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": {HONEST_CELLS}, "cells": {TAMPERED}}}'.encode(), proof="points", honest={"softmax": 0, "predict": 2}),
    raw("huge number", "points with ten thousand digits", WRONG_TEXT.replace('"points": 2', '"points": ' + "9" * 10_000).encode(), honest={"softmax": 0, "predict": 2}),
    raw("deep", "a hundred thousand brackets", b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    raw("deep metadata", "metadata nested a hundred thousand times", WRONG_TEXT.replace('"metadata": {}', '"metadata": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 1).encode()),
    raw("empty", "no bytes", b""),
    raw("no JSON", "a pickle", b"\x80\x04K\x01."),
    raw("zip", "a zip file that unpacks to 50 MB", zipped()),
    raw("gzip", "a compressed notebook", gzip.compress(packed(OURS))),
    raw("truncated", "the file ends in the middle", packed(OURS)[:2000]),
    raw("UTF-16", "another encoding", WRONG_TEXT.encode("utf-16"), honest={"softmax": 0, "predict": 2}),
    raw("bytes that are no text", "a byte that no encoding knows", packed(OURS).replace(b"predict", b"\xff\xfe", 1)),
    raw("a list", "JSON, but a list", b"[]"),
    raw("a number", "JSON, but a number", b"1e999"),
    raw("no cells", "JSON without cells", b"{}"),
    raw("cells that are numbers", "a list of numbers as cells", b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1, null]}'),
    raw("too large", "3 MB of blanks", b" " * (3 << 20)),
    Attack("notebooks", "shell", "an added cell runs a shell command", packed(notebook(WRONG, added=["!touch @COURSE@/@MARK@"])), runner="ipython", proof="written"),
    Attack("notebooks", "cell magic", "an added cell is a shell script", packed(notebook(WRONG, added=["%%bash\ntouch @COURSE@/@MARK@"])), runner="ipython", proof="written"),
]
