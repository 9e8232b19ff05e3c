"""Each claim of the articles has one row, and each chapter settles its own: by a run that agrees with the verdict, or by text that says so."""
import csv
import json
import re
import subprocess

import pytest

from conftest import ROOT, SETTINGS
from course_lib import claims
from course_lib.settings import CourseError

TABLE = ROOT / "course_lib" / "claims.csv"


def test_the_table_is_whole():
    """10 programs, 69 formulas, 110 facts, numbered without a gap, each with its source and what is right."""
    known = claims.read_claims()
    assert list(known) == [f"{kind}{i}" for kind, n in (("A", 10), ("B", 69), ("C", 110)) for i in range(1, n + 1)]
    for c in known.values():
        assert re.fullmatch(r"(00[0-4])(:\d+(-\d+)?(, \d+(-\d+)?)*)?(, 00[0-4](:\d+(-\d+)?(, \d+(-\d+)?)*)?)*", c.source), f"{c.id}: {c.source}"
        assert len(c.claim) >= 15 and (c.correction or c.verdict == "right"), c.id
        assert re.fullmatch(r"\d\d[a-z]?", c.chapter), c.id


def test_every_written_chapter_settles_its_claims():
    places = claims.settled_claims(SETTINGS)
    known, written = claims.read_claims(), {c.number for c in SETTINGS.chapters}
    assert {id for id, place in places.items() if place} == {c.id for c in known.values() if c.chapter in written}
    formulas = [p for id, p in places.items() if p and id[0] in "AB"]
    assert formulas and all(p.by_run for p in formulas), "a program or a formula can always be run"


def test_the_command_lists_them():
    ran = subprocess.run([str(ROOT / ".venv/bin/course"), "claims", "04", "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = {r["id"]: r for r in json.loads(ran.stdout)}
    assert rows["B35"]["verdict"] == "wrong" and rows["B35"]["settled"] == "run" and rows["B35"]["notebook"] == "04_backprop" and rows["B35"]["shown"]
    assert {r["chapter"] for r in rows.values()} == {"04"}


def test_the_recorded_counts_are_current():
    from course_lib.cli import _claims_counts
    headline = json.loads((ROOT / "results" / "headlines.json").read_text(encoding="utf8"))["claims_settled"]
    table = claims.claims_table(claims.settled_claims(SETTINGS))
    assert headline["conditions"] == _claims_counts(table) and headline["value"] == sum(r["settled"] != "not yet" for r in table)


def test_a_run_that_contradicts_the_table_fails():
    right = next(c.id for c in claims.read_claims().values() if c.verdict == "right")
    wrong = next(c.id for c in claims.read_claims().values() if c.verdict == "wrong")
    unclear = next(c.id for c in claims.read_claims().values() if c.verdict == "open")
    assert claims.settle(right, holds=True, shown="1 of 1").shown == "1 of 1"
    for id, holds in ((right, False), (wrong, True)):
        with pytest.raises(AssertionError, match=id):
            claims.settle(id, holds=holds, shown="1 of 1")
    with pytest.raises(ValueError, match="no run can settle"):
        claims.settle(unclear, holds=True, shown="1 of 1")
    with pytest.raises(ValueError, match="shown is empty"):
        claims.settle(wrong, holds=False, shown="")
    with pytest.raises(ValueError, match="unknown claim 'Z9'"):
        claims.settle("Z9", holds=True, shown="1")


def test_what_a_ruling_shows_is_escaped():
    wrong = next(c.id for c in claims.read_claims().values() if c.verdict == "wrong")
    page = claims.settle(wrong, holds=False, shown="1 < 2 <script>")._repr_html_()
    assert "<script>" not in page and "1 &lt; 2" in page
    assert "Settled by text alone" in claims.settle_by_text(wrong)._repr_html_()


def course_of(tmp_path, *sources):
    """A course with one chapter, 03, whose code cells are given."""
    text = (ROOT / "settings.ini").read_text(encoding="utf8")
    for section in ("chapters", "points", "deadlines"):
        found = re.search(rf"^\[{section}\]\n(?:.*\n)*?(03_forward = .*\n)", text, re.M)
        text = re.sub(rf"^\[{section}\]\n(?:(?!\[).*\n)*", f"[{section}]\n{found[1]}\n", text, flags=re.M)
    (tmp_path / "settings.ini").write_text(text, encoding="utf8")
    (tmp_path / "nbs").mkdir()
    cells = [dict(cell_type="code", id=f"c{i}", source=[s], outputs=[dict(output_type="execute_result", data={"text/plain": [f"{re.findall('[ABC][0-9]+', s)[0]} wrong: 3 of 4"]})]) for i, s in enumerate(sources)]
    (tmp_path / "nbs" / "03_forward.ipynb").write_text(json.dumps(dict(cells=cells)), encoding="utf8")
    from course_lib.settings import read_settings
    return read_settings(tmp_path)


def test_a_claim_left_out_settled_twice_or_elsewhere_is_found(tmp_path):
    mine = [c.id for c in claims.read_claims().values() if c.chapter == "03"]
    other = next(c.id for c in claims.read_claims().values() if c.chapter == "04")
    cell = lambda id: f'settle("{id}", holds=False, shown="3 of 4")'
    for sources, message in ((map(cell, mine[1:]), f"not settled by their chapters: {mine[0]}"), (map(cell, [mine[0], *mine]), f"{mine[0]} is settled twice"),
                             (map(cell, [*mine, other]), f"{other} is settled in 03_forward, claims.csv says chapter 04")):
        folder = tmp_path / message[:12].replace(" ", "-"); folder.mkdir()
        with pytest.raises(CourseError, match=re.escape(message)):
            claims.settled_claims(course_of(folder, *sources))


def test_a_damaged_table_is_refused(tmp_path):
    rows = list(csv.reader(TABLE.open(encoding="utf8", newline="")))
    for change, message in ((lambda r: r + [r[1]], "listed twice"), (lambda r: [r[0], [*r[1][:3], "maybe", *r[1][4:]]], "verdict 'maybe'")):
        path = tmp_path / "claims.csv"
        with path.open("w", encoding="utf8", newline="") as f:
            csv.writer(f).writerows(change(rows))
        with pytest.raises(ValueError, match=message):
            claims.read_claims(path)


def test_stored_boxes_show_the_table_as_it_is():
    """A claim whose text was mended is shown mended: run `course refresh` on its chapter."""
    import html
    known = claims.read_claims()
    for chapter in SETTINGS.chapters:
        cells = json.loads(chapter.notebook.read_text(encoding="utf8"))["cells"]
        shown = "".join("".join(o.get("data", {}).get("text/html", "")) for c in cells for o in c.get("outputs", []))
        for id in (id for id, place in claims.find_places(chapter)):
            c = known[id]
            assert html.escape(c.claim) in shown and html.escape(c.correction) in shown and "alert" not in shown, id
