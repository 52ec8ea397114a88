"""The pages as a site (`make docs`). The source folder is the repository's root, so that every link holds in both."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

project = author = html_title = "raylab"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/site/index"
include_patterns = ["docs/**", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = ["docs/package.md"]  # what an index shows of the package; the README says more
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "furo"
html_copy_source = False
html_last_updated_fmt = None  # the same pages give the same site
myst_heading_anchors = 4
autodoc_member_order = "bysource"
napoleon_use_ivar, napoleon_attr_annotations = True, False
napoleon_custom_sections = ["Units", "Source"]
autodoc_typehints = "none"  # the signature has them
autodoc_default_options = {"members": True, "undoc-members": False}

# what axe-core finds in Sphinx's and furo's own HTML, and what it should be; a text that scrolls has to be reached by key
REPAIRS = (
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    ('<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    ('<th class="head"><p></p></th>', '<td class="head"></td>'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
)


def repaired(html):
    """A page with the repairs; of a repaired page itself."""
    for wrong, right in REPAIRS:
        html = html.replace(wrong, right)
    return html


def repair(app, exception):
    """Repair every page, once all are written."""
    for path in [] if exception else Path(app.outdir).rglob("*.html"):
        path.write_text(repaired(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app):
    app.connect("build-finished", repair)
