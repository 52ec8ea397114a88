"""The check of the built site (docs/site/check_links.py) finds what does not hold."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPAIRED = runpy.run_path(str(ROOT / "docs" / "site" / "conf.py"))["repaired"]
PROBLEMS = runpy.run_path(str(ROOT / "docs" / "site" / "check_links.py"))["problems"]


def test_a_link_that_holds_is_no_problem(tmp_path: Path) -> None:
    """To a page with a blank in its name, a place on it, a place on the same page, and an address elsewhere from which nothing is loaded."""
    (tmp_path / "a b.html").write_text('<h1 id="top">A</h1>')
    links = ("a%20b.html", "a%20b.html#top", "#here", "https://example.org/x")
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "index.html").write_text(f'<p id="here">{page}<img src="data:image/png;base64,AA=="></p>')
    assert [] == PROBLEMS(tmp_path)


def test_links_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    """A page, a place, a picture that does not exist; a script from elsewhere; a site without pages."""
    assert [f"{tmp_path} has no page; run: make docs"] == PROBLEMS(tmp_path)
    index = tmp_path / "index.html"
    index.write_text(
        '<a href="no.html">x</a><a href="#no">x</a><img src="no.png"><script src="https://example.org/x.js"></script>'
    )
    assert [
        f"{index}: no.html leads to no file",
        f"{index}: #no leads to no place on that page",
        f"{index}: no.png leads to no file",
        f"{index}: it loads https://example.org/x.js",
    ] == PROBLEMS(tmp_path)


def test_what_the_theme_leaves_undone_is_repaired() -> None:
    """Headings of the menu have a level, sidebars a name, texts that scroll are reached by key, an empty head is none; and once is enough."""
    menu = '<aside class="sidebar-drawer"><p class="caption" role="heading">A</p></aside><aside class="toc-drawer"></aside>'
    page = f'{menu}<pre>x</pre><div class="table-wrapper a">'
    once = REPAIRED(f'{page}<table><tr><th class="head"><p></p></th></tr></table>')
    assert 'aria-label="Pages"' in once and 'aria-label="On this page"' in once and 'role="heading" aria-level="2"' in once
    assert '<pre tabindex="0">x</pre>' in once and "<th" not in once
    assert '<div tabindex="0" class="table-wrapper a">' in once and once == REPAIRED(once)
