"""Collecting submissions: hostile archives and trees write nothing, stop nothing and lose nothing."""
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from conftest import ROOT, SETTINGS
from course_lib.grading.collect import collect, exercise_ids, handed_in
from course_lib.grading.originals import Store, read_manifest
from course_lib.grading.roster import Student, read_roster
from course_lib.settings import CourseError

pytestmark = pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="collecting needs folders opened from within folders, which this system lacks")

IDS = exercise_ids(SETTINGS.chapters)
FIRST, SECOND = "03_forward", "04_backprop"
DEADLINE = SETTINGS.chapter(FIRST).deadline
EARLY, LATE = DEADLINE - timedelta(days=2), DEADLINE + timedelta(days=1)
ROSTER = {s.student: s for s in (Student("s1", "Ada Lovelace", "ada@example.org", "11"), Student("s2", "Alan Turing", "alan@example.org", "12"), Student("s3", "Emmy Noether"))}


def notebook(answer="", chapter=FIRST):
    """A notebook with the exercises of a chapter; `answer` tells two of them apart."""
    cells = [dict(cell_type="code", source=answer, metadata={"nbgrader": {"grade_id": i}}) for i in sorted(IDS[chapter])]
    return json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)).encode()


def make_zip(path, files, when=EARLY, method=zipfile.ZIP_DEFLATED):
    """A zip of name -> bytes, or of (ZipInfo or name, bytes) pairs."""
    with zipfile.ZipFile(path, "w", method) as z:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name, when.timetuple()[:6])
            info.compress_type = method
            z.writestr(info, data)
    return path


def make_tree(folder, files, when=EARLY):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (when.timestamp(),) * 2)
    return folder


def run(source, folder, roster=None, **options):
    return collect(source, SETTINGS, folder, roster, **options)


def by_name(found):
    return {c.name: c.status for c in found}


def contents(folder):
    """All files below a folder, path -> bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"} if folder.exists() else {}


def originals(folder):
    """The originals, after proving that each is named by its bytes and read-only."""
    found = {}
    for path in sorted((folder / "originals").glob("*.ipynb")) if folder.exists() else []:
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == path.stem
        assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0 and not path.is_symlink()
        found[path.stem] = data
    return found


def naive_extract(path, folder):
    """What many scripts do: write each entry where its name says, and restore links."""
    with zipfile.ZipFile(path) as z:
        for info in z.infolist():
            target = Path(os.path.join(folder, info.filename))
            target.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(info.external_attr >> 16):
                os.symlink(z.read(info).decode(), target)
            else:
                target.write_bytes(z.read(info))


# --- hostile archives -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["../../outside.ipynb", "{tmp}/outside.ipynb", "s1/../../../outside.ipynb"])
def test_path_escape(tmp_path, name):
    """A naive extraction writes outside of its folder; collecting writes nothing there, and the honest student is collected."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook(), name.format(tmp=tmp_path): b"{}"})
    naive_extract(source, deep / "naive" / "x")
    escaped = [p for p in tmp_path.rglob("outside.ipynb") if deep / "naive" / "x" not in p.parents]
    assert escaped, "the attack works on a naive extraction"
    for p in escaped:
        p.unlink()
    found = run(source, deep / "submitted")
    assert list(tmp_path.rglob("outside.ipynb")) == []
    assert sorted(by_name(found).values()) == ["collected", "unsafe name"]
    assert list(originals(deep / "submitted").values()) == [notebook()]


@pytest.mark.parametrize("name", ["C:/x.ipynb", "s1\\..\\x.ipynb", "s1/a\x1b[31m.ipynb", "s1/\u202eipynb", "．．／x.ipynb", "s1//x.ipynb", "s1/" + "n" * 1000 + ".ipynb", "//host/x.ipynb", "s1/./x.ipynb"])
def test_unsafe_name(tmp_path, name):
    found = run(make_zip(tmp_path / "class.zip", {name: notebook(), "s2/03_forward.ipynb": notebook()}), tmp_path / "submitted")
    assert sorted(c.status for c in found) == ["collected", "unsafe name"]
    assert all(c.name.isprintable() and c.message.isprintable() for c in found)
    assert set(contents(tmp_path / "submitted")) == {"manifest.jsonl", "s2/03_forward.ipynb", *(f"originals/{s}.ipynb" for s in originals(tmp_path / "submitted"))}


def test_name_with_null_character(tmp_path):
    """Python's own `filename` ends at the null character, so `x.ipynb` would be seen where `x.ipynb\\0.exe` stands."""
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynbXexe": notebook()})
    source.write_bytes(source.read_bytes().replace(b"ipynbXexe", b"ipynb\0exe"))
    assert zipfile.ZipFile(source).namelist() == ["s1/03_forward.ipynb"]
    assert [c.status for c in run(source, tmp_path / "submitted")] == ["unsafe name"]


def linked(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def test_symlink_entry(tmp_path):
    """A link to a folder and then a file through it: naive extraction overwrites a file elsewhere."""
    victim = make_tree(tmp_path / "victim", {"03_forward.ipynb": b"precious"})
    source = make_zip(tmp_path / "class.zip", [linked("s1", str(victim)), ("s1/03_forward.ipynb", notebook("evil")), linked("s2/03_forward.ipynb", "/etc/hostname")], method=zipfile.ZIP_STORED)
    naive_extract(source, tmp_path / "naive")
    assert (victim / "03_forward.ipynb").read_bytes() == notebook("evil"), "the attack works on a naive extraction"
    (victim / "03_forward.ipynb").write_bytes(b"precious")
    found = run(source, tmp_path / "submitted")
    assert by_name(found) == {"s1": "link", "s1/03_forward.ipynb": "collected", "s2/03_forward.ipynb": "link"}
    assert (victim / "03_forward.ipynb").read_bytes() == b"precious"
    assert not any(p.is_symlink() for p in (tmp_path / "submitted").rglob("*"))


def test_device_entry(tmp_path):
    info = zipfile.ZipInfo("s1/03_forward.ipynb")
    info.external_attr = (stat.S_IFCHR | 0o666) << 16
    assert by_name(run(make_zip(tmp_path / "class.zip", [(info, b"")]), tmp_path / "submitted")) == {"s1/03_forward.ipynb": "link"}


def raw_zip(path, entries):
    """A zip of (name, packed bytes, size that the header says, CRC), by hand."""
    body, table = b"", b""
    for name, packed, size, crc in entries:
        fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x5a21, crc, len(packed), size, len(name), 0)
        table += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\3\4" + fields + name.encode() + packed
    path.write_bytes(body + table + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, len(entries), len(entries), len(table), len(body), 0))
    return path


def zeros(mb):
    """`mb` MB of zeros, packed about a thousandfold, without making them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * mb + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


@pytest.mark.parametrize("declared", [3 << 30, 1 << 20, 100], ids=["declared", "half declared", "not declared"])
def test_zip_bomb(tmp_path, declared):
    """3 GB from 3 MB. The reader stops early, needs little memory, and goes on with the others."""
    packed = zeros(3 << 10)
    unpacked, crc = zlib.decompressobj(-15), zlib.crc32(bytes(min(declared, 1 << 20)))
    assert len(unpacked.decompress(packed, 200 << 20)) == 200 << 20, "the bomb unpacks to more than 200 MB"
    honest = zlib.compressobj(9, zlib.DEFLATED, -15)
    good = honest.compress(notebook()) + honest.flush()
    source = raw_zip(tmp_path / "class.zip", [("s1/03_forward.ipynb", packed, declared, crc), ("s2/03_forward.ipynb", good, len(notebook()), zlib.crc32(notebook()))])
    assert source.stat().st_size < 4 << 20
    tracemalloc.start()
    found = run(source, tmp_path / "submitted")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert by_name(found)["s2/03_forward.ipynb"] == "collected" and by_name(found)["s1/03_forward.ipynb"] in ("too large", "not a notebook")
    assert peak < 100 << 20
    assert sum(map(len, originals(tmp_path / "submitted").values())) < 2 << 20


def test_small_bomb_within_the_size_limit(tmp_path):
    """15 MB of one character are below the limit for a notebook; a thousandfold ratio betrays them, until the instructor takes the file."""
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook() + b" " * (15 << 20)})
    assert [c.status for c in run(source, tmp_path / "submitted")] == ["too large"]
    assert [c.status for c in run(source, tmp_path / "submitted", take=["s1/03_forward.ipynb"])] == ["collected"]


def overlapping(path, count):
    """A zip whose entries quote each other's headers and share one packed kernel."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    plain = bytes(1 << 20)
    packed = packer.compress(plain) + packer.flush()
    parts, table = packed, []
    for k in reversed(range(count)):
        name = f"s{k:03}/03_forward.ipynb".encode()
        header = b"PK\3\4" + struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x5a21, zlib.crc32(plain), len(parts), len(plain), len(name), 0) + name
        table.append((name, zlib.crc32(plain), len(parts), len(plain), len(header) + len(parts)))
        plain = header + plain
        parts = b"\0" + struct.pack("<HH", len(header), len(header) ^ 0xffff) + header + parts   # a stored block holds the header
    body = parts[5:]
    listed = b"".join(b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, 0, 8, 0, 0x5a21, crc, size, full, len(name), 0, 0, 0, 0, 0, len(body) - end) + name
                      for name, crc, size, full, end in table)
    path.write_bytes(body + listed + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, count, count, len(listed), len(body), 0))
    return path


def test_overlapping_entries(tmp_path):
    source = overlapping(tmp_path / "bomb.zip", 100)
    with zipfile.ZipFile(source) as z:
        try:
            assert sum(len(z.read(n)) for n in z.namelist()) > 500 * source.stat().st_size, "Python unpacks it"
        except zipfile.BadZipFile as e:
            assert "Overlapped" in str(e), "Python has learnt to refuse it"
    with pytest.raises(CourseError, match="overlap"):
        run(source, tmp_path / "submitted")
    assert not (tmp_path / "submitted").exists()


def test_too_many_entries(tmp_path):
    source = make_zip(tmp_path / "many.zip", {f"s{k}/03_forward.ipynb": b"" for k in range(100_000)}, method=zipfile.ZIP_STORED)
    with pytest.raises(CourseError, match="100000 entries; the limit is 20000"):
        run(source, tmp_path / "submitted")
    assert not (tmp_path / "submitted").exists()


def test_table_of_contents_is_not_read_at_once(tmp_path):
    """A table of 40 MB would be held in memory before the first entry is looked at."""
    info = zipfile.ZipInfo("s1/03_forward.ipynb")
    info.comment = b"x" * 65_000
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as z:
        z.writestr(info, notebook())
        z.filelist += [info] * 600
        z._didModify = True
    assert len(zipfile.ZipFile(tmp_path / "class.zip").infolist()) == 601
    with pytest.raises(CourseError, match="table of contents"):
        run(tmp_path / "class.zip", tmp_path / "submitted")


def flip_flag(path):
    """Mark the first entry as encrypted, in both its headers."""
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)


def test_encrypted_entry(tmp_path):
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook(), "s2/03_forward.ipynb": notebook()})
    flip_flag(source)
    found = run(source, tmp_path / "submitted")
    assert by_name(found) == {"s1/03_forward.ipynb": "unreadable", "s2/03_forward.ipynb": "collected"} and "encrypted" in found[0].message


def test_wrong_checksum(tmp_path):
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook("honest"), "s2/03_forward.ipynb": notebook()}, method=zipfile.ZIP_STORED)
    source.write_bytes(source.read_bytes().replace(b"honest", b"hunest", 1))
    assert by_name(run(source, tmp_path / "submitted")) == {"s1/03_forward.ipynb": "unreadable", "s2/03_forward.ipynb": "collected"}
    assert list(originals(tmp_path / "submitted").values()) == [notebook()]


def test_other_packing_methods(tmp_path):
    """LZMA can ask for gigabytes to unpack, so only the two usual methods are read."""
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}, method=zipfile.ZIP_LZMA)
    assert [c.status for c in run(source, tmp_path / "submitted")] == ["unreadable"]


def noise(size, seed):
    return notebook("".join(random.Random(seed).choices("0123456789abcdef", k=size)))


def test_truncated_at_every_kilobyte(tmp_path):
    sent = {f"s{k}/03_forward.ipynb": noise(8000, k) for k in range(8)}
    whole = make_zip(tmp_path / "class.zip", sent).read_bytes()
    assert len(whole) > 20_000
    for size in range(0, len(whole) - 1, 1024):
        (tmp_path / "cut.zip").write_bytes(whole[:size])
        with pytest.raises(CourseError):
            run(tmp_path / "cut.zip", tmp_path / "submitted")
    assert not (tmp_path / "submitted").exists()
    run(tmp_path / "class.zip", tmp_path / "submitted")
    assert set(originals(tmp_path / "submitted").values()) == set(sent.values())


def test_damaged_archives_never_change_a_submission(tmp_path):
    """Random bytes of the zip changed: one clear line or a status, and never an original that nobody sent."""
    sent = {f"s{k}/03_forward.ipynb": noise(300, k) for k in range(4)}
    whole = make_zip(tmp_path / "class.zip", sent).read_bytes()
    rng, seen = random.Random(7), set()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "bad.zip").write_bytes(data)
        try:
            seen.update(c.status for c in run(tmp_path / "bad.zip", tmp_path / "submitted"))
        except CourseError as e:
            seen.add("refused")
            assert "\n" not in str(e)
        assert set(originals(tmp_path / "submitted").values()) <= set(sent.values())
        shutil.rmtree(tmp_path / "submitted", ignore_errors=True)
    assert {"collected", "unreadable", "refused"} <= seen


def test_clashing_names(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = make_zip(tmp_path / "class.zip", [("s1/03_forward.ipynb", notebook("a")), ("s1/03_forward.ipynb", notebook("b")), ("s2/03_forward.ipynb", notebook()), ("S2/03_forward.ipynb", notebook("c")), ("s3/03_forward.ipynb", notebook())])
    found = run(source, tmp_path / "submitted")
    assert sorted((c.name, c.status) for c in found) == [("S2/03_forward.ipynb", "ambiguous"), *[("s1/03_forward.ipynb", "ambiguous")] * 2, ("s2/03_forward.ipynb", "ambiguous"), ("s3/03_forward.ipynb", "collected")]
    assert len(originals(tmp_path / "submitted")) == 4
    found = run(source, tmp_path / "submitted", take=["S2/03_forward.ipynb"])
    assert by_name(found)["S2/03_forward.ipynb"] == "collected" and (tmp_path / "submitted" / "S2" / "03_forward.ipynb").read_bytes() == notebook("c")


def test_zip_within_a_zip_is_not_unpacked(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", {"03_forward.ipynb": notebook()}).read_bytes()
    found = run(make_zip(tmp_path / "class.zip", {"s1/work.zip": inner, "s2/03_forward.ipynb": notebook(), "s2/data.zip": inner}), tmp_path / "submitted")
    assert by_name(found) == {"s1/work.zip": "not a notebook", "s2/03_forward.ipynb": "collected"}


# --- hostile trees ----------------------------------------------------------------------------------------------

def test_links_in_a_tree(tmp_path):
    secret = make_tree(tmp_path / "secret", {"03_forward.ipynb": notebook("somebody else's")})
    tree = make_tree(tmp_path / "class", {"s1/03_forward.ipynb": notebook()})
    (tree / "s2").mkdir()
    (tree / "s2" / "03_forward.ipynb").symlink_to(secret / "03_forward.ipynb")
    (tree / "s3").symlink_to(secret)
    (tree / "s4").mkdir()
    os.link(secret / "03_forward.ipynb", tree / "s4" / "03_forward.ipynb")
    (tree / "s5").mkdir()
    os.mkfifo(tree / "s5" / "03_forward.ipynb")
    for s in ("s2", "s3", "s4"):
        assert (tree / s / "03_forward.ipynb").read_bytes() == notebook("somebody else's"), "a naive reader takes it"
    found = run(tree, tmp_path / "submitted")
    assert {c.name.split("/")[0]: c.status for c in found} == {"s1": "collected", "s2": "link", "s3": "link", "s4": "link", "s5": "link"}
    assert list(originals(tmp_path / "submitted").values()) == [notebook()]


def test_link_that_appears_while_reading(tmp_path, monkeypatch):
    """Between the listing and the reading a folder becomes a link."""
    secret = make_tree(tmp_path / "secret", {"03_forward.ipynb": notebook("secret")})
    tree = make_tree(tmp_path / "class", {"s1/03_forward.ipynb": notebook()})
    def swap(items):
        if not (tree / "s1").is_symlink():
            shutil.rmtree(tree / "s1")
            (tree / "s1").symlink_to(secret)
        return items
    assert [c.status for c in run(tree, tmp_path / "submitted", progress=swap)] == ["unreadable"]
    assert originals(tmp_path / "submitted") == {}


def test_too_large_file(tmp_path):
    tree = make_tree(tmp_path / "class", {"s1/03_forward.ipynb": b" " * ((SETTINGS.grading.notebook_mb << 20) + 1), "s2/03_forward.ipynb": notebook()})
    assert by_name(run(tree, tmp_path / "submitted")) == {"s1/03_forward.ipynb": "too large", "s2/03_forward.ipynb": "collected"}


def test_undecodable_file_name(tmp_path):
    tree = make_tree(tmp_path / "class", {"s2/03_forward.ipynb": notebook()})
    with open(os.fsencode(tree) + b"/s2/\xff.ipynb", "wb") as f:
        f.write(notebook())
    assert sorted(c.status for c in run(tree, tmp_path / "submitted")) == ["collected", "unsafe name"]


# --- which student, which chapter -------------------------------------------------------------------------------

def test_canvas(tmp_path):
    sent = {"lovelaceada_11_100_03_forward.ipynb": notebook("1"), "lovelaceada_11_120_03_forward-1.ipynb": notebook("2"), "lovelaceada_11_110_04_backprop.ipynb": notebook(chapter=SECOND),
            "turingalan_LATE_12_90_forward.ipynb": notebook(), "noetheremmy_77_130_03_forward.ipynb": notebook("3"), "turingalan_12_91_text.html": b""}
    found = run(make_zip(tmp_path / "submissions.zip", sent, when=LATE), tmp_path / "submitted", ROSTER)
    assert {(c.student, c.chapter, c.status, c.late) for c in found} == {("s1", FIRST, "superseded", False), ("s1", FIRST, "collected", False), ("s1", SECOND, "collected", False), ("s2", FIRST, "collected", True), ("s3", FIRST, "collected", False)}
    assert (tmp_path / "submitted" / "s1" / f"{FIRST}.ipynb").read_bytes() == notebook("2")
    assert handed_in(tmp_path / "submitted")["s2", FIRST, hashlib.sha256(notebook()).hexdigest()][1] is True


def test_canvas_name_change_does_not_take_anothers_place(tmp_path):
    """Student 12 calls herself Ada Lovelace: the number counts, not the name."""
    found = run(make_zip(tmp_path / "submissions.zip", {"lovelaceada_12_100_03_forward.ipynb": notebook(), "lovelaceada_13_100_03_forward.ipynb": notebook()}), tmp_path / "submitted", ROSTER)
    assert [(c.student, c.status) for c in found] == [("s2", "collected"), ("lovelaceada_13", "unknown student")]


def test_canvas_name_that_looks_like_another_user(tmp_path):
    """Student 11 is called `x_12`, so that the file seems to be of user 12. Moodle's flat names can be tried the same way."""
    found = run(make_zip(tmp_path / "submissions.zip", {"x_12_11_100_a.ipynb": notebook(), "turingalan_12_90_a.ipynb": notebook("honest")}), tmp_path / "submitted", ROSTER)
    assert by_name(found) == {"x_12_11_100_a.ipynb": "unknown student", "turingalan_12_90_a.ipynb": "collected"} and "s1 or s2" in found[1].message
    sheet = worksheet(tmp_path / "sheet.csv", [(501, "Ada Lovelace", "ada@example.org", EARLY), (502, "Alan Turing", "alan@example.org", EARLY)])
    name = "Ada Lovelace_501_assignsubmission_file_Alan Turing_502_assignsubmission_file_a.ipynb"
    assert [c.student for c in run(make_zip(tmp_path / "moodle.zip", {name: notebook()}), tmp_path / "moodle", ROSTER, worksheet=sheet)] == ["s1"]


def worksheet(path, rows):
    lines = [f'Participant {n},{name},{mail},Submitted for grading,"{t:%A, %d %B %Y, %I:%M %p}"' for n, name, mail, t in rows]
    path.write_text("\ufeffIdentifier,Full name,Email address,Status,Last modified (submission)\n" + "\n".join(lines), encoding="utf8")
    return path


@pytest.mark.parametrize("name", ["{}_assignsubmission_file_/03_forward.ipynb", "{}_assignsubmission_file/03_forward.ipynb", "{}_assignsubmission_file_03_forward.ipynb"])
def test_moodle(tmp_path, name):
    """A download after the deadline tells no lateness; the worksheet does, and its mail address tells students of one name apart."""
    sent = {name.format("Ada Lovelace_501"): notebook("1"), name.format("Ada Lovelace_502"): notebook("2")}
    source, folder = make_zip(tmp_path / "moodle.zip", sent, when=LATE), tmp_path / "submitted"
    roster = {"s1": ROSTER["s1"], "s9": Student("s9", "Ada Lovelace", "ada9@example.org")}
    assert [c.status for c in run(source, folder, roster)] == ["unknown student"] * 2
    assert len(originals(folder)) == 2
    sheet = worksheet(tmp_path / "sheet.csv", [(501, "Ada Lovelace", "ada9@example.org", EARLY), (502, "Ada Lovelace", "ada@example.org", LATE)])
    found = run(source, folder, roster, worksheet=sheet)
    assert [(c.student, c.status, c.late, c.act) for c in found] == [("s9", "collected", False, False), ("s1", "collected", True, False)]


def test_moodle_time_unknown_until_the_worksheet_comes(tmp_path):
    source, folder = make_zip(tmp_path / "moodle.zip", {"Ada Lovelace_501_assignsubmission_file/a.ipynb": notebook()}, when=LATE), tmp_path / "submitted"
    found = run(source, folder, ROSTER)
    assert [(c.status, c.late, c.act) for c in found] == [("collected", None, True)]
    sheet = worksheet(tmp_path / "sheet.csv", [(501, "Ada Lovelace", "ada@example.org", EARLY)])
    assert [(c.status, c.late, c.act) for c in run(source, folder, ROSTER, worksheet=sheet)] == [("unchanged", False, False)]
    assert [late for _, late in handed_in(folder).values()] == [False]
    before = contents(folder)
    run(source, folder, ROSTER, worksheet=sheet)
    assert contents(folder) == before
    early = make_zip(tmp_path / "early.zip", {"Ada Lovelace_501_assignsubmission_file/a.ipynb": notebook()})
    assert [c.late for c in run(early, tmp_path / "other", ROSTER)] == [False], "a download made before the deadline needs no worksheet"
    assert [(c.status, c.late) for c in run(source, tmp_path / "other", ROSTER)] == [("unchanged", False)], "nor does the same work in a later one"
    close = make_zip(tmp_path / "close.zip", {"Ada Lovelace_501_assignsubmission_file/a.ipynb": notebook()}, when=DEADLINE - timedelta(hours=20))
    assert [c.late for c in run(close, tmp_path / "close", ROSTER)] == [None], "the server's clock may be in another zone"


def test_forged_timestamp_in_a_platforms_download(tmp_path):
    """A student may hand in a timestamp.txt. It is believed in a tree, whose author is the instructor, and nowhere else."""
    stamp = EARLY.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f UTC").encode()
    folder = "Ada Lovelace_501_assignsubmission_file"
    found = run(make_zip(tmp_path / "moodle.zip", {f"{folder}/a.ipynb": notebook(), f"{folder}/timestamp.txt": stamp}, when=LATE), tmp_path / "submitted", ROSTER)
    assert [c.late for c in found] == [None]
    found = run(make_zip(tmp_path / "tree.zip", {"submitted/s1/ps1/a.ipynb": notebook(), "submitted/s1/ps1/timestamp.txt": stamp}, when=LATE), tmp_path / "tree", ROSTER)
    assert [(c.late, c.time_from) for c in found] == [(False, "timestamp.txt")]


def test_gradescope(tmp_path):
    yaml = f"submission_1:\n  :submitters:\n  - :name: Ada\n    :sid: s1\n    :email: ''\n  - :name: Alan Turing\n    :sid: '99'\n    :email: alan@example.org\n  :created_at: {LATE.isoformat(' ')}\n"
    sent = {"assignment_5_export/submission_metadata.yml": yaml.encode(), "assignment_5_export/submission_1/a.ipynb": notebook(), "assignment_5_export/submission_2/a.ipynb": notebook("2"),
            "assignment_5_export/submission_2/submission_metadata.yml": b"submission_2: {':submitters': [{':sid': s1}]}"}
    found = run(make_zip(tmp_path / "export.zip", sent), tmp_path / "submitted", ROSTER)
    assert [(c.student, c.status, c.late) for c in found] == [("s1", "collected", True), ("s2", "collected", True), ("", "unknown student", None)]
    assert found[0].time == LATE.astimezone(timezone.utc)


def test_unknown_student_is_kept_and_collected_once_the_roster_knows(tmp_path):
    source, folder = make_zip(tmp_path / "class.zip", {"ada lovelance/03_forward.ipynb": notebook(), "s2/03_forward.ipynb": notebook("2")}), tmp_path / "submitted"
    found = run(source, folder, ROSTER)
    assert by_name(found)["ada lovelance/03_forward.ipynb"] == "unknown student" and "near: s1" in found[0].message
    assert set(originals(folder).values()) == {notebook(), notebook("2")} and not (folder / "ada lovelance").exists()
    before = contents(folder)
    run(source, folder, ROSTER)
    assert contents(folder) == before
    found = run(source, folder, ROSTER | {"s8": Student("s8", "Ada Lovelance")})
    assert (found[0].student, found[0].status) == ("s8", "collected")


def test_notebook_of_another_chapter(tmp_path):
    lecture = SETTINGS.chapters[0].notebook.read_bytes()
    sent = {"s1/03_forward.ipynb": notebook(chapter=SECOND), "s2/03_forward.ipynb": lecture, "s3/homework.ipynb": notebook(), "s4/03_forward.ipynb": b"\x80\x04not a notebook", "s5/03_forward.ipynb": b"[" * 600_000}
    source, folder = make_zip(tmp_path / "class.zip", sent), tmp_path / "submitted"
    found = run(source, folder, take=())
    assert {c.name.split("/")[0]: c.status for c in found} == {"s1": "other chapter", "s2": "other chapter", "s3": "collected", "s4": "not a notebook", "s5": "not a notebook"}
    assert len(originals(folder)) == 5 and not (folder / "s1").exists()
    assert [c.status for c in run(source, tmp_path / "second", chapter="04")] == ["other chapter"] * 3 + ["not a notebook"] * 2
    found = run(source, folder, chapter="03", take=["s2/03_forward.ipynb"])
    assert by_name(found)["s2/03_forward.ipynb"] == "collected" and (folder / "s2" / f"{FIRST}.ipynb").read_bytes() == lecture
    before = contents(folder)
    assert by_name(run(source, folder))["s2/03_forward.ipynb"] == "unchanged" and contents(folder) == before


def test_system_copies_are_no_submissions(tmp_path):
    sent = {"s1/03_forward.ipynb": notebook(), "s1/.ipynb_checkpoints/03_forward-checkpoint.ipynb": notebook("old"), "__MACOSX/s1/._03_forward.ipynb": b"\0\5\x16\7", "s1/.DS_Store": b""}
    assert by_name(run(make_zip(tmp_path / "class.zip", sent), tmp_path / "submitted")) == {"s1/03_forward.ipynb": "collected"}
    assert by_name(run(make_tree(tmp_path / "tree", sent), tmp_path / "tree-submitted")) == {"s1/03_forward.ipynb": "collected"}


def test_students_that_differ_in_case_only(tmp_path):
    found = run(make_zip(tmp_path / "class.zip", {"Eve/03_forward.ipynb": notebook(), "eve/04_backprop.ipynb": notebook(chapter=SECOND), "s1/03_forward.ipynb": notebook()}), tmp_path / "submitted")
    assert [c.status for c in found] == ["ambiguous", "ambiguous", "collected"] and not (tmp_path / "submitted" / "Eve").exists()


def test_mac_names_without_a_mark(tmp_path):
    """A zip of a Mac holds UTF-8 names and does not say so."""
    source = make_zip(tmp_path / "class.zip", {"王小明/03_forward.ipynb": notebook()})
    data = bytearray(source.read_bytes())
    data[7] &= ~8
    data[data.index(b"PK\1\2") + 9] &= ~8
    source.write_bytes(data)
    assert [c.student for c in run(source, tmp_path / "submitted")] == ["王小明"]


# --- late, newer, chosen ----------------------------------------------------------------------------------------

def test_late_by_zip_time_and_by_file_time(tmp_path):
    sent = {"s1/03_forward.ipynb": notebook()}
    for when, late in ((EARLY, False), (LATE, True), (DEADLINE, False), (DEADLINE + timedelta(seconds=2), True)):
        found = run(make_zip(tmp_path / "class.zip", sent, when=when), tmp_path / f"zip{when:%d%H%S}")
        assert (found[0].late, found[0].time) == (late, when.astimezone(timezone.utc)) and found[0].time_from == f"zip entry, read as {DEADLINE.tzinfo.key}"
        tree = make_tree(tmp_path / f"class{when:%d%H%S}", sent, when=when)
        assert run(tree, tmp_path / f"tree{when:%d%H%S}")[0].late is late


def test_time_with_zone_in_a_zip(tmp_path):
    """The extra field of newer programs needs no time zone."""
    info = zipfile.ZipInfo("s1/03_forward.ipynb", LATE.timetuple()[:6])
    info.extra = struct.pack("<HHBi", 0x5455, 5, 1, int(EARLY.timestamp()))
    found = run(make_zip(tmp_path / "class.zip", [(info, notebook())]), tmp_path / "submitted")
    assert (found[0].late, found[0].time_from) == (False, "zip entry")


def test_summer_time(tmp_path, monkeypatch):
    """The hour that exists twice: a deadline in its second half, handed in in its first."""
    from dataclasses import replace
    berlin = ZoneInfo("Europe/Berlin")
    deadline = datetime(2027, 10, 31, 2, 15, tzinfo=berlin, fold=1)
    chapters = tuple(replace(c, deadline=deadline) for c in SETTINGS.chapters)
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}, when=datetime(2027, 10, 31, 2, 30))
    found = collect(source, replace(SETTINGS, chapters=chapters), tmp_path / "submitted")
    assert (found[0].time, found[0].late) == (datetime(2027, 10, 31, 0, 30, tzinfo=timezone.utc), False)


def test_moved_deadline_updates_lateness(tmp_path):
    from dataclasses import replace
    source, folder = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}, when=LATE), tmp_path / "submitted"
    assert run(source, folder)[0].late is True
    later = replace(SETTINGS, chapters=tuple(replace(c, deadline=LATE + timedelta(days=1)) if c.name == FIRST else c for c in SETTINGS.chapters))
    assert [c.status for c in collect(source, later, folder)] == ["unchanged"]
    assert [late for _, late in handed_in(folder).values()] == [False]
    lines = len(read_manifest(folder))
    collect(source, later, folder)
    assert len(read_manifest(folder)) == lines == 2


def test_copy_of_the_same_bytes_is_not_late(tmp_path):
    """Copied after the deadline without its time, the same work stays in time."""
    folder = tmp_path / "submitted"
    run(make_tree(tmp_path / "a", {"s1/03_forward.ipynb": notebook()}, when=EARLY), folder)
    before = contents(folder)
    assert [c.status for c in run(make_tree(tmp_path / "b", {"s1/03_forward.ipynb": notebook()}, when=LATE), folder)] == ["unchanged"]
    assert contents(folder) == before


def test_older_never_replaces_newer(tmp_path):
    folder = tmp_path / "submitted"
    new, old = (make_zip(tmp_path / f"{n}.zip", {"s1/03_forward.ipynb": notebook(n)}, when=w) for n, w in (("new", EARLY + timedelta(hours=1)), ("old", EARLY)))
    assert run(new, folder)[0].status == "collected"
    assert run(old, folder)[0].status == "superseded"
    assert (folder / "s1" / f"{FIRST}.ipynb").read_bytes() == notebook("new") and len(originals(folder)) == 2
    assert run(old, folder, take=["s1/03_forward.ipynb"])[0].status == "collected"
    assert (folder / "s1" / f"{FIRST}.ipynb").read_bytes() == notebook("old")
    before = contents(folder)
    assert [run(s, folder)[0].status for s in (new, old)] == ["superseded", "unchanged"] and contents(folder) == before, "the choice stays"


def test_back_to_an_earlier_version(tmp_path):
    folder = tmp_path / "submitted"
    for hour, answer in enumerate("ABA"):
        found = run(make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook(answer)}, when=EARLY + timedelta(hours=hour)), folder)
        assert found[0].status == "collected" and (folder / "s1" / f"{FIRST}.ipynb").read_bytes() == notebook(answer)
    assert len(originals(folder)) == 2 and len(read_manifest(folder)) == 3


def test_two_files_of_one_time(tmp_path):
    folder = tmp_path / "submitted"
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook("a"), "s1/03_forward-1.ipynb": notebook("b"), "s1/03_forward-2.ipynb": notebook("b")})
    found = run(source, folder)
    assert [c.status for c in found].count("ambiguous") == 2 and not (folder / "s1").exists() and len(originals(folder)) == 2
    before = contents(folder)
    run(source, folder)
    assert contents(folder) == before
    run(source, folder, take=["s1/03_forward.ipynb"])
    assert (folder / "s1" / f"{FIRST}.ipynb").read_bytes() == notebook("a")
    before = contents(folder)
    assert not any(c.act for c in run(source, folder)) and contents(folder) == before
    with pytest.raises(CourseError, match="no such notebook"):
        run(source, folder, take=["s1/elsewhere.ipynb"])


def test_file_put_by_hand_is_stored_before_it_is_replaced(tmp_path):
    folder = tmp_path / "submitted"
    by_hand = make_tree(folder, {f"s1/{FIRST}.ipynb": b"by hand"}, when=EARLY - timedelta(days=1)) / "s1" / f"{FIRST}.ipynb"
    assert run(make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}), folder)[0].status == "collected"
    assert by_hand.read_bytes() == notebook() and set(originals(folder).values()) == {b"by hand", notebook()}
    make_tree(folder, {f"s1/{FIRST}.ipynb": notebook("mended by the instructor")}, when=LATE)
    newer = make_zip(tmp_path / "newer.zip", {"s1/03_forward.ipynb": notebook("newer")}, when=EARLY + timedelta(hours=1))
    found = run(newer, folder)
    assert found[0].status == "ambiguous" and by_hand.read_bytes() == notebook("mended by the instructor")
    assert [c.status for c in run(folder, folder)] == ["collected"], "collecting submitted/ itself settles it"
    assert [c.status for c in run(newer, folder)] == ["superseded"] and by_hand.read_bytes() == notebook("mended by the instructor")


def test_linked_student_folder_is_not_written_through(tmp_path):
    elsewhere, folder = make_tree(tmp_path / "elsewhere", {f"{FIRST}.ipynb": b"precious"}), tmp_path / "submitted"
    folder.mkdir()
    (folder / "s1").symlink_to(elsewhere)
    (folder / "s2").mkdir()
    (folder / "s2" / f"{FIRST}.ipynb").symlink_to(elsewhere / f"{FIRST}.ipynb")
    source = make_zip(tmp_path / "class.zip", {f"s{k}/03_forward.ipynb": notebook() for k in (1, 2, 3)})
    assert [c.status for c in run(source, folder)] == ["link", "link", "collected"]
    assert contents(elsewhere) == {f"{FIRST}.ipynb": b"precious"}
    (folder / "s1").unlink()
    assert [c.status for c in run(source, folder)][0] == "collected", "mended, the next run completes it"


# --- stopped at any moment --------------------------------------------------------------------------------------

WRITES = ("write", "fsync", "rename", "mkdir")


class Stop:
    """At the n-th call that writes: half a write, and then the end."""
    def __init__(self, n, how):
        self.left, self.how = n, how

    def __call__(self, name, real, args):
        self.left -= 1
        if self.left == 0:
            if name == "write":
                real(args[0], args[1][:len(args[1]) // 2])
            self.how()


NEVER = 77   # exit status of a child that ended before its stop


def in_child(work, stop):
    """Run `work` in a child process, with `stop` before every call that writes. Returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    for name in WRITES:
        def step(*args, name=name, real=getattr(os, name), **kwargs):
            stop(name, real, args)
            return real(*args, **kwargs)
        setattr(os, name, step)
    try:
        work()
        os._exit(NEVER if stop.left > 0 else 0)
    except OSError as e:
        os._exit(e.errno)
    except BaseException:
        os._exit(99)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full():
    raise OSError(errno.ENOSPC, "No space left on device")


def settled(folder):
    """Everything but the times of collecting, and lines that a stop tore apart."""
    lines = [{k: v for k, v in l.items() if k != "collected_at"} for l in read_manifest(folder)]
    return {k: v for k, v in contents(folder).items() if k != "manifest.jsonl"}, sorted(map(json.dumps, lines))


@pytest.mark.parametrize("how", [killed, disk_full])
def test_stopped_at_every_write(tmp_path, how):
    """Whatever moment it is, the originals are whole, and running again gives what an undisturbed run gives."""
    first = make_zip(tmp_path / "1.zip", {f"s{k}/03_forward.ipynb": notebook(f"1{k}") for k in (1, 2)})
    second = make_zip(tmp_path / "2.zip", {f"s{k}/03_forward.ipynb": notebook(f"2{k}") for k in (1, 2, 3)} | {"nobody.ipynb": notebook("x")}, when=EARLY + timedelta(hours=1))
    begin = tmp_path / "begin"
    run(first, begin)
    make_tree(begin, {f"s3/{FIRST}.ipynb": b"by hand"})
    want, stopped = tmp_path / "want", 0
    shutil.copytree(begin, want)
    run(second, want)
    for n in range(1, 1000):
        folder = tmp_path / "now"
        shutil.copytree(begin, folder)
        status = in_child(lambda: run(second, folder), Stop(n, how))
        assert originals(begin).items() <= originals(folder).items()
        current = {p.parent.name: p.read_bytes() for p in folder.glob(f"s?/{FIRST}.ipynb")}
        assert all(data in (notebook(f"1{s[1]}"), notebook(f"2{s[1]}"), b"by hand") for s, data in current.items()) and len(current) == 3
        for line in read_manifest(folder):
            assert line["sha256"] in originals(folder), "a line is written after its original"
        run(second, folder)
        assert settled(folder) == settled(want)
        shutil.rmtree(folder)
        if os.waitstatus_to_exitcode(status) == NEVER:
            break
        assert os.waitstatus_to_exitcode(status) in ((-signal.SIGKILL,) if how is killed else (errno.ENOSPC, 0)), "0: making a folder that exists may fail"
        stopped += 1
    assert stopped > 20


def test_full_disk_for_real(tmp_path):
    """A file system of 256 kB in a namespace of its own."""
    small, source = tmp_path / "small", make_zip(tmp_path / "class.zip", {f"s{k}/03_forward.ipynb": noise(15_000, k) for k in range(6)})
    small.mkdir()
    code = ("import sys, errno; sys.path.insert(0, sys.argv[1]); import test_collect as t\n"
            "try: t.run(sys.argv[2], t.Path(sys.argv[3]) / 'submitted')\n"
            "except OSError as e: print('errno', e.errno == errno.ENOSPC)\n"
            "print(len(t.originals(t.Path(sys.argv[3]) / 'submitted')), len(t.read_manifest(t.Path(sys.argv[3]) / 'submitted')))")
    mounted = f"mount -t tmpfs -o size=256k none {small} && exec {sys.executable} -c \"$0\" {ROOT / 'tests'} {source} {small}"
    ran = subprocess.run(["unshare", "-rm", "sh", "-c", mounted, code], capture_output=True, text=True)
    if "unshare" in ran.stderr or "mount" in ran.stderr:
        pytest.skip(f"no file system of its own here: {ran.stderr.strip().splitlines()[-1]}")
    said = ran.stdout.split()
    assert said[:2] == ["errno", "True"] and 0 < int(said[2]) < 6 and said[3] == "0", ran.stdout + ran.stderr


def test_twice_adds_nothing(tmp_path):
    sent = {"s1/03_forward.ipynb": notebook("1"), "s1/04_backprop.ipynb": notebook("2", SECOND), "s2/03_forward.ipynb": b"{", "s3/x.ipynb": notebook("3"), "../x.ipynb": b"", "top.ipynb": notebook("4")}
    source, folder = make_zip(tmp_path / "class.zip", sent), tmp_path / "submitted"
    first = run(source, folder)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
    again = run(source, folder)
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
    assert [c.status.replace("collected", "unchanged") for c in first] == [c.status for c in again]


def test_only_one_run_at_a_time(tmp_path):
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()})
    with Store(tmp_path / "submitted"), pytest.raises(CourseError, match="at work"):
        run(source, tmp_path / "submitted")
    assert run(source, tmp_path / "submitted")[0].status == "collected"


def test_changed_original_is_noticed(tmp_path):
    source, folder = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}), tmp_path / "submitted"
    run(source, folder)
    path = next((folder / "originals").glob("*.ipynb"))
    path.chmod(0o644)
    path.write_bytes(notebook("changed"))
    with pytest.raises(CourseError, match="changed after it was collected"):
        run(source, folder)


# --- bad input --------------------------------------------------------------------------------------------------

def test_nothing_to_collect(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b\x08")
    os.mkfifo(tmp_path / "pipe")
    said = {"folder": "it is empty", "loop": "does not exist", "absent.zip": "does not exist", "a.tar.gz": "a gzip file", "pipe": "something else", "no\0name": "does not exist"}
    said |= {make_zip(tmp_path / "empty.zip", {}).name: "it is empty", make_zip(tmp_path / "text.zip", {"s1/a.txt": b""}).name: "there is no notebook"}
    for name, text in said.items():
        with pytest.raises(CourseError, match=text) as e:
            run(tmp_path / name, tmp_path / "submitted")
        assert "\n" not in str(e.value)
    assert not (tmp_path / "submitted").exists()


def test_target_that_cannot_be_written(tmp_path):
    source = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()})
    (tmp_path / "file").write_text("here")
    for target in (tmp_path / "file", tmp_path / "file" / "submitted"):
        with pytest.raises(CourseError, match="cannot be written"):
            run(source, target)
    assert (tmp_path / "file").read_text() == "here"


def test_read_only_target(tmp_path):
    """As a user who may not write there: one line, not a traceback."""
    source, folder = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}), tmp_path / "submitted"
    folder.mkdir()
    folder.chmod(0o555)
    for p in (tmp_path, *tmp_path.parents[:2]):
        p.chmod(p.stat().st_mode | 0o555) if os.getuid() == 0 else None
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            run(source, folder)
        except CourseError as e:
            os._exit(0 if "cannot be written" in str(e) else 1)
        except BaseException:
            os._exit(2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    folder.chmod(0o755)
    assert contents(folder) == {}


def test_roster_file(tmp_path):
    assert read_roster(root=tmp_path) is None
    with pytest.raises(CourseError, match="cannot be read"):
        read_roster(tmp_path / "roster.csv")
    (tmp_path / "roster.csv").write_text("section,student,email\nA,s1,a@example.org\nA,s2,\n", encoding="utf-8-sig")
    assert read_roster(root=tmp_path) == {"s1": Student("s1", email="a@example.org", section="A"), "s2": Student("s2", section="A")}
    for text, line in (("student\ns1\n\ns1\n", 4), ('student,name\ns1,"two\nlines"\n,x\n', 4), ("student\na/b\n", 2), ("student,email\ns1,a@b\ns2,A@B\n", 3), ("name\nx\n", 1), ("student\noriginals\n", 2)):
        (tmp_path / "roster.csv").write_text(text)
        with pytest.raises(CourseError, match=f"line {line}:"):
            read_roster(root=tmp_path)


def test_manifest_with_damaged_lines(tmp_path):
    """Lines of another kind are skipped, and what they told is written again."""
    source, folder = make_zip(tmp_path / "class.zip", {"s1/03_forward.ipynb": notebook()}), tmp_path / "submitted"
    run(source, folder)
    whole = (folder / "manifest.jsonl").read_bytes()
    for damage in (whole[:-1], whole[:50], b"\xff\n[1]\n{}\n3\n" + b"[" * 100_000 + b"\n", b""):
        (folder / "manifest.jsonl").write_bytes(damage)
        run(source, folder)
        assert [(l["student"], l["status"]) for l in read_manifest(folder)] == [("s1", "collected")]
        assert len(handed_in(folder)) == 1


# --- the command ------------------------------------------------------------------------------------------------

def course(*arguments, cwd=ROOT):
    return subprocess.run([str(Path(sys.executable).with_name("course")), "collect", *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def test_command(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("student\ns1\n")
    good = make_zip(tmp_path / "good.zip", {"s1/03_forward.ipynb": notebook()}, when=LATE)
    ran = course(good, "--submitted", tmp_path / "submitted", "--roster", roster)
    assert ran.returncode == 0 and FIRST in ran.stdout and f"read as {DEADLINE.tzinfo.key}" in ran.stdout
    both = make_zip(tmp_path / "both.zip", {"s1/03_forward.ipynb": notebook(), "s2/03_forward.ipynb": notebook()})
    ran = course(both, "--submitted", tmp_path / "submitted", "--roster", roster, "--json")
    found = json.loads(ran.stdout)
    assert ran.returncode == 1 and [(c["student"], c["status"], c["act"]) for c in found] == [("s1", "unchanged", False), ("s2", "unknown student", True)]
    ran = course(tmp_path / "absent.zip", "--submitted", tmp_path / "submitted")
    assert ran.returncode == 1 and len(ran.stderr.strip().splitlines()) == 1
    assert "submissions.zip" in course("--help").stdout
