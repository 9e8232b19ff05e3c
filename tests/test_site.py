"The website: page list, dialect, links, and the pages themselves."
import configparser, functools, html, json, os, re, shutil, subprocess, tempfile
from pathlib import Path
import pytest
import yaml
from course_lib.settings import CourseError, read_settings
from course_lib.site import Page, adapt_home, adapt_notebook, build_site, check_html, check_site, mathml, read_site

ROOT = Path(os.environ.get("COURSE_ROOT") or Path(__file__).parent.parent)
pytestmark = pytest.mark.filterwarnings("ignore:.*Sphinx API:PendingDeprecationWarning", "ignore:.*Sphinx API:DeprecationWarning")


@functools.cache
def real_site():
    "The site of this course, built once per test run (test_browser_site uses it too)."
    return build_site(ROOT, Path(tempfile.mkdtemp()) / "_site", progress=False)


# A small course of one chapter, to break on purpose

def md(id, source): return {"cell_type": "markdown", "id": id, "metadata": {}, "source": [source]}


def py(id, source, count=1, outputs=()):
    return {"cell_type": "code", "id": id, "metadata": {}, "source": [source], "execution_count": count, "outputs": list(outputs)}


def write(path, cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


TITLE = md("title", "# Lines\n\n> One parameter.")
PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==")
PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL, "text/plain": "Figure"}}
NOTE, TIP = '<div class="callout-note alert alert-info">', '<div class="callout-tip alert alert-success">'
WARNING, IMPORTANT = '<div class="callout-warning alert alert-warning">', '<div class="callout-important alert alert-danger">'
HINT = "<details><summary>Hint 1: concept</summary>"
CHAPTER = [
    py("default-exp", "#| default_exp: line"), TITLE,
    md("formula", "By the formula below the line rises; `x @ w` costs `$5`.\n\n$$\nw^\\top x\n$$\n\n## Slope\n\n### In one case\n\n#### Small print\n\nNone."),
    py("export", "#| export: true\ndef line(w, x): return w * x"),
    py("hidden", "#| include: false\nsecret_setup = 1"),
    py("folded", "#| code-fold: true\nfolded = 1"),
    py("silent", "#| echo: false\nprint('seen')", outputs=[{"output_type": "stream", "name": "stdout", "text": ["seen\n"]}]),
    py("plot", "#| label: fig-line\n#| fig-cap: A line.\n#| fig-alt: A rising line.\nplot()", outputs=[PICTURE]),
    md("callouts", f"{WARNING}\n\n#### Mind $x$\n\nText.\n\n| a |\n|---|\n| $x^2$ |\n\n</div>\n\n{HINT}\n\n- See [the exercises](../exercises/01_line.ipynb)\n\n```python\nw @ x\n```\n\n</details>"),
    md("table", "| a | b |\n|---|---|\n| 1 | $x_1$ |\n\n[Up](#lines) and [outside](https://example.org)."),
]


@pytest.fixture
def course(tmp_path):
    "A course folder with one chapter that uses the whole dialect."
    ini = configparser.ConfigParser(default_section="unused", interpolation=None)
    ini.optionxform = str
    ini.read(ROOT / "settings.ini", encoding="utf8")
    for section in ("chapters", "points", "deadlines"): ini[section] = {"01_line": [*ini[section].values()][0]}
    with open(tmp_path / "settings.ini", "w", encoding="utf8") as f: ini.write(f)
    contents = [{"text": "Home", "href": "index.qmd"}, {"section": "Chapters", "contents": ["nbs/01_line.ipynb"]},
                {"section": "Exercises", "contents": [{"auto": "exercises/*.ipynb"}]}]
    (tmp_path / "_quarto.yml").write_text(yaml.safe_dump({
        "project": {"render": ["index.qmd", "nbs/*.ipynb", "exercises/*.ipynb"]}, "website": {"title": "Small", "sidebar": {"contents": contents}}}))
    (tmp_path / "index.qmd").write_text('---\ntitle: "Small"\n---\n\n{{< include results/figures.md >}}\n\n[Start](nbs/01_line.ipynb).\n')
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "figures.md").write_text("| figure | value |\n|---|---|\n| accuracy | 0.97 |\n")
    write(tmp_path / "nbs/01_line.ipynb", CHAPTER)
    write(tmp_path / "exercises/01_line.ipynb", [md("task", "# Exercises\n\nWrite it."), py("stub", "raise NotImplementedError", None)])
    return tmp_path


# The list of pages

def test_sidebar_agrees_with_settings():
    site, chapters = read_site(ROOT), read_settings(ROOT).chapters
    check_site(site, chapters)
    sections = dict(site.sections)
    parts = [pages for title, pages in site.sections if title.startswith("Part ")]
    assert parts == [tuple(f"nbs/{c.name}.ipynb" for c in chapters if c.part == part) for part in sorted({c.part for c in chapters})]
    assert sections["Exercises"] == tuple(f"exercises/{c.name}.ipynb" for c in chapters)


def test_solutions_are_not_rendered():
    site = read_site(ROOT)
    assert not [p for p in (*site.pages, *site.rendered) if p.startswith("solutions")]


def test_every_notebook_is_listed():
    listed = set(read_site(ROOT).pages)
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts} <= listed


def edit(course, change):
    spec = yaml.safe_load((course / "_quarto.yml").read_text())
    change(spec["project"]["render"], spec["website"]["sidebar"]["contents"])
    (course / "_quarto.yml").write_text(yaml.safe_dump(spec))


@pytest.mark.parametrize("change, message", [
    (lambda render, bar: (render.append("nbs/02_lost.ipynb"), bar[1]["contents"].append("nbs/02_lost.ipynb")), "nbs/02_lost.ipynb, which does not exist"),
    (lambda render, bar: bar.pop(1), "nbs/01_line.ipynb is not in the sidebar"),
    (lambda render, bar: bar.pop(2), "exercises/01_line.ipynb is not in the sidebar"),
    (lambda render, bar: render.remove("nbs/*.ipynb"), "nbs/01_line.ipynb is in the sidebar but not in project.render"),
    (lambda render, bar: (render.append("solutions/01_line.ipynb"), bar[2]["contents"].append("solutions/01_line.ipynb")), "solutions are never rendered"),
    (lambda render, bar: bar.pop(0), "the sidebar starts with"),
], ids=["missing page", "chapter not listed", "exercises not listed", "not rendered", "solutions", "no home"])
def test_wrong_page_list_is_refused(course, change, message):
    edit(course, change)
    with pytest.raises(CourseError, match=message): check_site(read_site(course), read_settings(course).chapters)


def test_unlisted_notebook_is_refused(course):
    edit(course, lambda render, bar: None)
    write(course / "nbs/library/extra.ipynb", CHAPTER)
    with pytest.raises(CourseError, match="nbs/library/extra.ipynb is not in the sidebar"): build_site(course, progress=False)


# The dialect

PROSE = {
    "Quarto callout": "::: {.callout-note}\na\n:::", "tabset": "::: {.panel-tabset}\n## A\n:::", "colons in the text": "a ::: b", "directive": ":::{note}\na\n:::",
    "unknown callout": '<div class="callout-danger alert alert-danger">\n\n#### T\n\na\n\n</div>', "wrong pair": '<div class="callout-note alert alert-danger">\n\n#### T\n\na\n\n</div>',
    "one class": '<div class="callout-note">\n\n#### T\n\na\n\n</div>', "single quotes": f"{NOTE.replace(chr(34), chr(39))}\n\n#### T\n\na\n\n</div>", "indented": f"- a\n\n  {NOTE}\n\n  #### T\n\n  </div>",
    "unclosed callout": f"{NOTE}\n\n#### T\n\na", "closed by the other tag": f"{NOTE}\n\n#### T\n\na\n\n</details>", "stray close": "a\n\n</div>", "nested callout": f"{NOTE}\n\n#### T\n\n{TIP}\n\n#### U\n\na\n\n</div>\n\n</div>",
    "hint in a callout": f"{NOTE}\n\n#### T\n\n{HINT}\n\na\n\n</details>\n\n</div>", "callout without title": f"{NOTE}\n\na\n\n</div>", "title of another level": f"{NOTE}\n\n### T\n\na\n\n</div>",
    "second heading": f"{NOTE}\n\n#### T\n\n#### U\n\na\n\n</div>", "heading in a hint": f"{HINT}\n\n## U\n\na\n\n</details>", "glued opening": f"{NOTE}\n#### T\n\na\n\n</div>",
    "glued close": f"{NOTE}\n\n#### T\n\na\n</div>", "text above": f"a\n{HINT}\n\na\n\n</details>", "text below": f"{HINT}\n\na\n\n</details>\nb", "empty hint": f"{HINT}\n\n</details>",
    "open hint": "<details open><summary>A</summary>\n\na\n\n</details>", "hint without title": "<details>\n\na\n\n</details>", "summary on its own line": "<details>\n<summary>A</summary>\n\na\n\n</details>",
    "formula in a summary": "<details><summary>Hint $x$</summary>\n\na\n\n</details>", "markup in a summary": "<details><summary>*Hint*</summary>\n\na\n\n</details>", "stray summary": "<summary>A</summary>",
    "shortcode": "{{< video a.mp4 >}}", "include in the text": "see {{< include a.md >}}", "raw HTML": "a <b>bold</b> word", "HTML comment": "<!-- a -->",
    "image": "![a](b.png)", "footnote": "a[^1]\n\n[^1]: b", "span": "[a]{.small}", "heading attribute": "## A {#sec-a}", "table attribute": ": A {#tbl-a}",
    "citation": "as @smith2020 says", "section reference": "see @sec-a", "equation reference": "see @eq-line", "figure reference": "By [@fig-line]", "equation label": "$$a$$ {#eq-line}",
    "mermaid": "```{mermaid}\ngraph LR\n```", "executable block": "```{python}\n1\n```", "raw block": "```{=html}\n<b>\n```", "rule": "a\n\n---\n\nb",
    "glued list": "Three:\n- one", "glued heading": "text\n## A", "glued table": "text\n| a |\n|---|\n| b |", "second title": "# Another",
    "unknown command": "$\\foo$", "unbalanced formula": "$\\frac{a}{b$", "newcommand": "$\\newcommand{\\a}{b}$", "tag": "$$a \\tag{1}$$",
}


@pytest.mark.parametrize("source", PROSE.values(), ids=PROSE)
def test_unknown_prose_is_refused(course, source):
    write(course / "nbs/01_line.ipynb", [*CHAPTER, md("strange", source)])
    with pytest.raises(CourseError, match="nbs/01_line.ipynb") as error: adapt_notebook(course, "nbs/01_line.ipynb")
    assert "cell strange" in str(error.value) or "titles" in str(error.value)


@pytest.mark.parametrize("source, instead", [("::: {.callout-note}\na\n:::", '<div class="callout-note alert alert-info">'), ("$$a$$ {#eq-a}", "the formula above"),
                                             ("By @eq-a", "the formula above"), ("As @fig-line shows", "the figure below")])
def test_what_jupyterlab_shows_raw_is_refused_with_an_alternative(course, source, instead):
    for page, write_page in (("nbs/01_line.ipynb", lambda: write(course / "nbs/01_line.ipynb", [*CHAPTER, md("strange", source)])),
                             ("index.qmd", lambda: (course / "index.qmd").write_text(f'---\ntitle: "Small"\n---\n\n{source}\n'))):
        write_page()
        with pytest.raises(CourseError, match="JupyterLab shows it raw") as error: adapt_home(course) if page == "index.qmd" else adapt_notebook(course, page)
        assert instead in str(error.value) and page in str(error.value)


@pytest.mark.parametrize("opening, kind", [(NOTE, "note"), (TIP, "tip"), (WARNING, "warning"), (IMPORTANT, "important")])
def test_callout_becomes_a_directive(course, opening, kind):
    body = "Text with $x^2$.\n\n- one\n- two\n\n```html\n<b>\n```"
    write(course / "nbs/01_line.ipynb", [TITLE, md("box", f"Before.\n\n{opening}\n\n#### A $x$ title\n\n{body}\n\n</div>\n\nAfter.")])
    assert adapt_notebook(course, "nbs/01_line.ipynb")["cells"][1]["source"] == f"Before.\n\n:::{{callout}} A $x$ title\n:kind: {kind}\n\n{body}\n:::\n\nAfter."


def test_hints_become_folded_directives(course):
    hint = "<details><summary>Hint {0}: next step</summary>\n\nTry {0}.\n\n</details>"
    write(course / "nbs/01_line.ipynb", [TITLE, md("hints", hint.format(1) + "\n\n" + hint.format(2))])
    folded = ":::{{callout}} Hint {0}: next step\n:kind: tip\n:collapse:\n\nTry {0}.\n:::"
    assert adapt_notebook(course, "nbs/01_line.ipynb")["cells"][1]["source"] == folded.format(1) + "\n\n" + folded.format(2)


WIDGET = {"output_type": "display_data", "metadata": {}, "data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "w"}}
CODE = {
    "unknown option": py("strange", "#| eval: false\n1"), "bare option": py("strange", "#| export\n1"), "late option": py("strange", "1\n#| echo: false"),
    "not YAML": py("strange", "#| fig-cap: a: b\n1"), "not a truth value": py("strange", "#| echo: 'no'\n1"), "figure without alt": py("strange", "#| label: fig-a\n#| fig-cap: a\n1"),
    "figure without picture": py("strange", "#| label: fig-a\n#| fig-cap: a\n#| fig-alt: a\n1"), "table label": py("strange", "#| label: tbl-a\n1"),
    "label given twice": py("strange", "#| label: fig-line\n#| fig-cap: a\n#| fig-alt: a\n1", outputs=[PICTURE]), "caption with a reference": py("strange", "#| label: fig-a\n#| fig-cap: 'As @fig-line'\n#| fig-alt: a\n1", outputs=[PICTURE]),
    "never run": py("strange", "1", None), "error": py("strange", "1", outputs=[{"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}]),
    "widget": py("strange", "1", outputs=[WIDGET]),
    "script": py("strange", "1", outputs=[{"output_type": "display_data", "metadata": {}, "data": {"text/html": ["<script>1</script>"]}}]),
    "raw cell": {"cell_type": "raw", "id": "strange", "metadata": {}, "source": ["---\ntoc: false\n---"]},
}


@pytest.mark.parametrize("cell", CODE.values(), ids=CODE)
def test_unknown_code_cell_is_refused(course, cell):
    write(course / "nbs/01_line.ipynb", [*CHAPTER, cell])
    with pytest.raises(CourseError, match="nbs/01_line.ipynb, cell strange"): build_site(course, progress=False)


def test_missing_fragment_names_the_command(course):
    (course / "results" / "figures.md").unlink()
    with pytest.raises(CourseError, match="results/figures.md does not exist; run `course figures` first"): adapt_home(course)


def test_code_and_escapes_are_left_alone(course):
    source = "Costs `$5 and $6`, `a @smith`, `<b>`, \\$7, 3 < 4 and a@b.org.\n\n```html\n<b>{{< x >}}</b>\n```"
    write(course / "nbs/01_line.ipynb", [TITLE, md("code", source)])
    assert adapt_notebook(course, "nbs/01_line.ipynb")["cells"][1]["source"] == source


# The build

def test_small_site(course):
    report = build_site(course, progress=False)
    page = (course / "_site/nbs/01_line.html").read_text()
    text = html.unescape(re.sub(r"<[^>]*>", "", page))
    for shown in ("By the formula below the line rises", "Small print", "Figure 1: A line.", "def line(w, x)", "folded = 1", "seen", "Mind ", "x @ w costs $5"):
        assert shown in text, shown
    for shown in ("<math", 'alt="A rising line."', 'class="warning admonition"', "admonition-title\">Mind <math", '<details class="admonition tip"><summary', 'href="../exercises/01_line.html"', 'id="small-print"', "copybutton.js"):
        assert shown in page, shown
    for hidden in ("default_exp", "secret_setup", "#|", "print('seen')", "callout", "alert", ":::", "####", 'id="mind', "mathjax", "require.js"):
        assert hidden not in page, hidden
    assert 'class="admonition hide above-input"' in page          # the folded cell
    assert (course / "_site/_sources/nbs/01_line.ipynb").read_bytes() == (course / "nbs/01_line.ipynb").read_bytes()
    assert "0.97" in (course / "_site/index.html").read_text()
    assert report.pages == 3 and report.figures == 1 and report.formulas == 4


def test_callout_title_is_no_heading(course):
    build_site(course, progress=False)
    page = (course / "_site/nbs/01_line.html").read_text()
    toc = re.search(r'<nav id="pst-page-toc-nav".*?</nav>', page, re.S)[0]
    assert re.findall(r'href="(#[^"]*)"', toc) == ["#slope", "#in-one-case", "#small-print"] and "Mind" not in toc and "Hint" not in toc
    assert "Mind" not in "".join(re.findall(r"<h\d.*?</h\d>", page, re.S))


def test_broken_link_fails_and_keeps_the_old_site(course):
    build_site(course, progress=False)
    before = (course / "_site/nbs/01_line.html").read_bytes()
    for target in ("02_lost.ipynb", "../solutions/01_line.ipynb", "#no-such-heading"):
        write(course / "nbs/01_line.ipynb", [*CHAPTER, md("lost", f"[lost]({target})")])
        with pytest.raises(CourseError, match="nbs/01_line.ipynb, cell lost: .*no page or heading"): build_site(course, progress=False)
    assert (course / "_site/nbs/01_line.html").read_bytes() == before
    assert not list((course / "_build").iterdir())


@pytest.mark.parametrize("bad, message", [
    ('<script src="https://cdn.example.org/a.js"></script>', "from another host"), ('<link rel="stylesheet" href="//fonts.example.org/a">', "from another host"),
    ('<img src="http://example.org/a.png">', "from another host"), ('<img src="lost.png">', "does not exist"), ('<a href="lost.html">a</a>', "does not exist"),
    ('<a href="#lost">a</a>', "no such place")])
def test_finished_pages_are_checked(tmp_path, bad, message):
    (tmp_path / "index.html").write_text(f'<p id="here"></p><a href="#here">fine</a><a href="https://example.org">fine</a>{bad}')
    with pytest.raises(CourseError, match=message): check_html(tmp_path)


def test_formula_loses_nothing():
    assert "&lt;" in mathml("a < b") and "log" in mathml(r"\log p")
    for bad in (r"a & b", r"a \\ b", r"\begin{align} a \end{align}", r"x^{", r"\text{$x$}", r"\operatorname*{argmax}"):
        with pytest.raises(ValueError): mathml(bad)


# The course's own pages

def test_real_site_is_sound():
    report = real_site()
    assert report.pages == len(read_site(ROOT).pages)
    check_html(report.out)          # links, anchors, no other host
    assert not [p for p in report.out.rglob("*") if "solutions" in p.relative_to(report.out).parts]


def test_every_formula_of_a_chapter_is_shown():
    shown = 0
    for chapter in read_settings(ROOT).chapters:
        cells = json.loads(chapter.notebook.read_text(encoding="utf8"))["cells"]
        written = sum("".join(c["source"]).count("$$") // 2 for c in cells if c["cell_type"] == "markdown")
        page = Page((real_site().out / "nbs" / f"{chapter.name}.html").read_text(encoding="utf8"))
        assert page.count["math"] >= written, chapter.name
        shown += page.count["math"]
    assert shown > 0


@pytest.mark.skipif(not shutil.which("quarto"), reason="quarto is not on PATH")
def test_quarto_renders_the_same_pages(tmp_path):
    skip = shutil.ignore_patterns(".git", ".venv", "_site", "_build", ".ipynb_checkpoints", "__pycache__", "submitted")
    shutil.copytree(ROOT, tmp_path / "course", ignore=skip)
    subprocess.run(["quarto", "render"], cwd=tmp_path / "course", check=True, timeout=600)
    for page in read_site(ROOT).pages:
        rendered = (tmp_path / "course" / "_site" / page).with_suffix(".html")
        text = rendered.read_text(encoding="utf8")
        away = [u for u in Page(text).loads if u.startswith(("http:", "https:", "//"))]
        assert not away, (page, away)
        prose = re.sub(r"<(pre|code)\b.*?</\1>", "", text, flags=re.S)
        assert not re.search(r":::|####|&lt;(div|details)", prose), page
        assert bool(re.search(r'class="[^"]*callout-titled', text)) == ('<div class=\\"callout-' in (ROOT / page).read_text(encoding="utf8")), page
        if page.endswith(".ipynb"): assert rendered.with_suffix(".ipynb").read_bytes() == (ROOT / page).read_bytes(), page
