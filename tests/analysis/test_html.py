"""report.html: well formed, self-contained, safe against hostile names, and (slow) looked at in a browser."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from builders.run import VARIANTS, write_run

from analysis.report.html import Answer, CodeBlock, ExplorerBlock, Page, Section, TableBlock, render
from analysis.report.write import write_report

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}} $x$ </script><!--"
VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class _Reader(HTMLParser):
    """Elements as (name, attributes), and what was not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported run with hostile names of participants, dataset and variants."""
    people = ("S2", "S10", "S11", f"S12{HOSTILE}", "S13", "S14")
    variants = [*VARIANTS, (f"own{HOSTILE[:25]}", HOSTILE.replace(" ", "_"))]
    folder = tmp_path_factory.mktemp("page") / "run"
    write_run(folder, people, variants, (f"made {HOSTILE}", "stress", "fcn"), {("hybrid", "S2"): "failed"})
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report" / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_its_ids_are_unique(html: str) -> None:
    """Every element is closed in its order; no id stands twice; every reference within the page has its target."""
    read = _Reader(html)
    assert ([], []) == (read.wrong, read.open)
    ids = [values["id"] for _, values in read.elements if "id" in values]
    assert len(set(ids)) == len(ids)
    refers = [str(v.get(name)) for _, v in read.elements for name in ("aria-labelledby", "for", "data-source") if v.get(name)]
    refers += [str(v["href"])[1:] for tag, v in read.elements if tag in ("a", "use") and str(v.get("href", "")).startswith("#")]
    assert set(refers) <= set(ids)


def test_the_page_loads_nothing(html: str) -> None:
    """No element names a resource but data: and places in the page itself, and the policy in its head forbids any."""
    loads = ("src", "srcset", "data", "poster", "href", "xlink:href", "action", "background")
    references = [(tag, str(values[name])) for tag, values in _Reader(html).elements for name in loads if name in values]
    assert [] == [(tag, value) for tag, value in references if not value.startswith(("#", "data:"))]
    style = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL)) + "".join(re.findall(r'style="([^"]*)"', html))
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {f"#{name}" for name in re.findall(r' id="([^"]+)"', html)}
    policies = [values for tag, values in _Reader(html).elements if values.get("http-equiv") == "Content-Security-Policy"]
    assert ["default-src 'none'"] == [str(policy["content"]).split(";")[0] for policy in policies]


def test_hostile_names_stay_text(html: str) -> None:
    """A participant, a variant and a dataset called like a script are shown as they are, and make no element."""
    read = _Reader(html)
    assert any(HOSTILE in text for text in read.text)
    assert not [values for tag, values in read.elements if tag == "img" or "onerror" in values]
    kinds = [values.get("type") for tag, values in read.elements if tag == "script"]
    assert {"application/json": 1, "text/plain": 1, None: 1} == {kind: kinds.count(kind) for kind in kinds}
    data = next(json.loads(x) for x in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL))
    assert f"S12{HOSTILE}" in data["participants"]


def test_hostile_names_stay_inside_the_report_folder(run: Path) -> None:
    """Figures are written under figures/ with plain names."""
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) for path in (run / "report" / "figures").iterdir())


def test_a_screen_reader_finds_its_way(html: str) -> None:
    """Language, one h1, headings that skip no level, landmarks, captions, scopes, names of figures, and regions that can be scrolled by key."""
    read = _Reader(html)
    tags = [tag for tag, _ in read.elements]
    assert ("html", {"lang": "en"}) in read.elements
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels))
    assert {1} == {tags.count(name) for name in ("header", "nav", "main")}
    assert tags.count("caption") == tags.count("table")
    assert all(values.get("scope") in ("col", "row") for tag, values in read.elements if tag == "th")
    assert all(values.get("aria-label") and values.get("role") == "img" for tag, values in read.elements if tag == "svg")
    assert all(values.get("alt") for tag, values in read.elements if tag == "img")
    scrolls = [values for _, values in read.elements if str(values.get("class", "")).startswith("scroll")]
    assert scrolls and all(values.get("tabindex") == "0" and values.get("aria-label") for values in scrolls)


def test_every_figure_has_its_numbers_behind_it(html: str) -> None:
    """As many tables of numbers as drawings: folded under each, or in its place."""
    figures = re.findall(r"<figure>(.*?)</figure>", html, re.DOTALL)
    assert len(figures) > 5
    assert all("<table" in figure for figure in figures)


def test_an_incomplete_run_is_marked_in_the_answer(html: str) -> None:
    """The missing trials stand in the box of the answer, before any verdict of a dataset, label and model."""
    caution = html.index("<strong>Incomplete run.</strong> Of 48 trials: 2 failed")
    assert html.index('class="answer"') < caution < html.index('class="verdicts"')


def test_a_page_without_interactive_figures_carries_no_plotly() -> None:
    """Plotly stands in a page once or not at all."""
    table = TableBlock("caption", ("a",), (("1",),))
    plain = Page("t", "i", Answer("a"), (), ("m",), (Section("s", blocks=(table, CodeBlock("c", "x < y"))),))
    assert 'id="plotly"' not in render(plain) and "x &lt; y" in render(plain)
    data: dict[str, Any] = {"metric": "AUROC", "sign": 1, "participants": [], "variants": []}
    two = Page("t", "i", Answer("a"), (), ("m",), tuple(Section(name, blocks=(ExplorerBlock("e", data),)) for name in "ab"))
    assert render(two).count('id="plotly"') == 1


def test_only_the_sections_of_the_page_are_landmarks() -> None:
    """Fault of before: a study of several models had as many landmarks called "All variants", which a screen reader lists."""
    inner = Section("All variants", text=("x",))
    html = render(Page("t", "i", Answer("a"), (), (), tuple(Section(f"cell {k}", sections=(inner,)) for k in range(3))))
    headings = dict(re.findall(r'id="([\w-]+)">([^<]+)</h\d>', html))
    names = [headings[label] for label in re.findall(r'<section [^>]*aria-labelledby="([\w-]+)"', html)]
    assert ["a", "cell 0", "cell 1", "cell 2"] == names and 3 == html.count(">All variants</h3>")


def _opened(browser: Any, run: Path, width: int, height: int, scheme: str) -> tuple[Any, list[str], list[str]]:
    """The page in a window of this size, what it asked for, and what it complained of."""
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto((run / "report" / "report.html").as_uri())
    return page, requests, messages


def _explored(page: Any) -> None:
    """Fold everything out and make the interactive figures so."""
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for button in page.query_selector_all("button.explore"):
        button.click()
    page.wait_for_selector(".chart .main-svg", timeout=60_000)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_a_browser_shows_the_page_in_peace(browser: Any, run: Path, width: int, height: int, scheme: str) -> None:
    """No complaint, no request, no sideways scrolling, no violation by axe-core; at both widths, light and dark."""
    from axe_core_python.sync_playwright import Axe  # noqa: PLC0415 - only where the browser fixture found it

    page, requests, messages = _opened(browser, run, width, height, scheme)
    _explored(page)
    assert {"file", "data", "blob"} >= {url.split(":")[0] for url in requests}
    assert [] == messages
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = Axe().run(page)
    assert result["passes"]
    assert [] == [(rule["id"], rule["nodes"][0]["html"]) for rule in result["violations"]]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_that_is_wider_than_the_page_is_folded(browser: Any, run: Path, width: int) -> None:
    """No table scrolls but shaded ones; a folded cell stands behind its heading, is still a cell of a row, and sorts; print has the table whole."""
    page, _, messages = _opened(browser, run, width, 844, "light")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.wait_for_timeout(300)
    beyond = "(r) => r.scrollWidth > r.clientWidth + 1"
    assert 0 == page.evaluate(f"[...document.querySelectorAll('.scroll:has(table:not(.heat))')].filter({beyond}).length")
    folded = page.query_selector_all("table.folded")
    assert folded or width > 390
    for table in folded[:1]:
        cells = "(t) => [...t.tBodies[0].rows[0].cells].slice(1).map((c) => [c.getAttribute('role'), c.dataset.column])"
        heads = page.evaluate("(t) => [...t.tHead.rows[0].cells].slice(1).map((c) => c.textContent.trim())", table)
        assert [["cell", head] for head in heads] == page.evaluate(cells, table)
        first = "(t) => [...t.tBodies[0].rows].map((r) => r.cells[0].textContent)"
        table.query_selector("th button").press("Enter")
        assert sorted(page.evaluate(first, table)) == page.evaluate(first, table)
        page.emulate_media(media="print")
        assert "table-cell" == page.evaluate("(t) => getComputedStyle(t.tBodies[0].rows[0].cells[1]).display", table)
        page.emulate_media(media="screen")
    assert [] == messages


@pytest.mark.slow
@pytest.mark.parametrize(("width", "beside"), [(1440, True), (1200, False), (390, False)])
def test_the_contents_do_not_push_the_verdict_down(browser: Any, run: Path, width: int, beside: bool) -> None:
    """Open beside the text, folded if they stand above it."""
    page, _, _ = _opened(browser, run, width, 900, "light")
    assert beside is page.evaluate("document.getElementById('contents').open")
    assert page.evaluate("document.getElementById('verdict').getBoundingClientRect().top") < 900


@pytest.mark.slow
def test_the_page_is_used_by_keyboard(browser: Any, run: Path) -> None:
    """The skip link comes first; a heading of a table sorts it; the theme turns; the interactive figure follows the chosen variant."""
    page, _, messages = _opened(browser, run, 1440, 900, "light")
    page.keyboard.press("Tab")
    assert "Skip to the answer" == page.evaluate("document.activeElement.textContent")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert light != page.evaluate(ground)

    table = page.query_selector("table.sortable:has(caption:has-text('rank-biserial'))")
    heading = table.query_selector("th:has-text('difference') button")
    column = (
        "(t) => [...t.tBodies[0].rows].map((r) => r.cells[[...t.tHead.rows[0].cells].findIndex((c) => c.ariaSort)].textContent)"
    )
    heading.press("Enter")
    rising = [float(text) for text in page.evaluate(column, table) if text]
    heading.press("Enter")
    falling = page.evaluate(column, table)
    assert sorted(rising) == rising
    assert rising[::-1] == [float(text) for text in falling if text]
    assert falling[-1] == ""  # what has no number stands last, whichever way

    page.focus("button.explore")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chart .main-svg", timeout=60_000)
    points = "document.querySelector('.chart').data[2].y.join()"
    before = page.evaluate(points)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"{points} !== {before!r}")
    assert [] == messages


@pytest.mark.parametrize(("cells", "brief"), [(12, False), (13, True)])
def test_print_of_many_cells_leaves_out_what_is_descriptive(cells: int, brief: bool) -> None:
    """It says so; on the screen nothing is left out."""
    inner = Section("Class by class", text=("descriptive text",), descriptive=True)
    sections = tuple(Section(f"cell {k}", sections=(inner,), keys={"dataset": str(k)}) for k in range(cells))
    html = render(Page("t", "i", Answer("a"), (), (), sections))
    assert cells == html.count("descriptive text")
    assert brief == ('class="brief"' in html) == ('<p class="printed">' in html)
