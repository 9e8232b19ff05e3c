"The website in a real browser, served on loopback: pages, search, formulas, dark mode, download. No request may leave the machine."
import functools, http.server, json, os, threading
from urllib.parse import urlsplit
import pytest
from course_lib.settings import read_settings
from test_site import ROOT, pytestmark, real_site

CHAPTER = read_settings(ROOT).chapter("03")


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture(scope="module")
def address():
    "Where the site is served."
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=real_site().out)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser, address):
    "An empty page; afterwards, no request has left 127.0.0.1 and the console shows no error."
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", base_url=address)
    context.set_default_timeout(10_000)
    page, away, errors = context.new_page(), [], []
    page.on("request", lambda r: away.append(r.url) if urlsplit(r.url).hostname not in ("127.0.0.1", None) else None)
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    yield page
    context.close()
    assert not away, f"requests to other hosts: {away}"
    assert not errors, f"console errors: {errors}"


def test_home_leads_to_the_first_chapter(page):
    page.goto("index.html")
    assert page.locator("article h1").count() == 1
    page.locator(f'article a[href="nbs/{CHAPTER.name}.html"]').first.click()
    page.wait_for_url(f"**/nbs/{CHAPTER.name}.html")
    assert page.locator("article h1").inner_text()


def test_formula_has_a_size(page):
    page.goto(f"nbs/{CHAPTER.name}.html")
    box = page.locator("div.math math").first.bounding_box()
    assert box["width"] > 20 and box["height"] > 10
    assert page.locator("article img").first.get_attribute("alt")


def test_no_page_is_wider_than_a_phone(page):
    page.set_viewport_size({"width": 400, "height": 800})
    for name in ("index.html", f"nbs/{CHAPTER.name}.html", f"exercises/{CHAPTER.name}.html"):
        page.goto(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, name


def test_search_finds_a_chapter(page):
    page.goto("index.html")
    page.keyboard.press("Control+k")
    page.locator("dialog[open] input[type=search]").fill("neuron")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=neuron*")
    result = page.locator("#search-results li a").first
    result.wait_for()
    assert ".html" in result.get_attribute("href")


def test_dark_mode(page):
    page.goto(f"nbs/{CHAPTER.name}.html")
    background = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = background()
    page.get_by_role("button", name="Color mode").click()
    page.locator(".theme-change-button[data-mode=dark]").click()
    assert page.locator("html").get_attribute("data-theme") == "dark" and background() != light


def test_hint_opens_without_a_script(page):
    page.goto(f"exercises/{CHAPTER.name}.html")
    hint = page.locator("details.admonition").first
    assert not hint.locator("p").first.is_visible()
    hint.locator("summary").click()
    assert hint.locator("p").first.is_visible()


def test_callout_has_a_title_that_is_no_heading(page):
    page.goto("nbs/07_measuring.html")
    titles = page.locator("div.admonition > .admonition-title")
    assert titles.count() and titles.first.is_visible()
    assert not set(titles.all_inner_texts()) & set(page.locator("#pst-page-toc-nav a").all_inner_texts())


def test_claim_is_readable_in_both_themes(page):
    """A claim box takes the colours of the theme: its text stands out from what is behind it."""
    brightness = "e => { const c = s => s.match(/[\\d.]+/g).map(Number); let at = e; while (c(getComputedStyle(at).backgroundColor)[3] === 0) at = at.parentElement;"
    brightness += " const l = v => 0.21*v[0] + 0.72*v[1] + 0.07*v[2]; return Math.abs(l(c(getComputedStyle(e).color)) - l(c(getComputedStyle(at).backgroundColor))) }"
    page.goto("nbs/03_forward.html")
    for mode in ("light", "dark"):
        page.evaluate("mode => { document.documentElement.dataset.theme = mode }", mode)
        box = page.locator("div.claim").first
        assert "Claim B" in box.inner_text() and "The run shows" in box.inner_text()
        assert box.locator("p").first.evaluate(brightness) > 110, mode


def test_copy_button_copies_the_code_only(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"nbs/{CHAPTER.name}.html")
    cell = page.locator("div.cell_input:visible").first
    cell.hover()
    cell.locator("button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == cell.locator("pre").inner_text().strip()
    assert not page.locator("div.output button.copybtn").count()


def test_download_is_the_notebook(page):
    page.goto(f"exercises/{CHAPTER.name}.html")
    page.get_by_role("button", name="Download this page").click()
    with page.expect_download() as download: page.locator(".btn-download-source-button").click()
    with open(download.value.path(), "rb") as f: data = f.read()
    assert data == CHAPTER.exercises.read_bytes() and json.loads(data)["nbformat"] == 4


def test_figures_are_shown_with_a_text(page):
    """Every figure of every chapter loads and has an alternative text."""
    for chapter in read_settings(ROOT).chapters:
        page.goto(f"nbs/{chapter.name}.html")
        figures = page.evaluate("[...document.querySelectorAll('main img')].map(e => [e.complete && e.naturalWidth > 0, e.alt.length])")
        assert figures and all(loaded and alt > 10 for loaded, alt in figures), (chapter.name, figures)
    if os.environ.get("COURSE_SCREENSHOTS"):
        page.set_viewport_size({"width": 1200, "height": 900})
        page.locator("main img").nth(4).evaluate("e => window.scrollTo(0, e.getBoundingClientRect().top + window.scrollY - 420)")
        page.screenshot(path=f"{os.environ['COURSE_SCREENSHOTS']}/website.png")
