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
