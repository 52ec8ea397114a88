"""A figure's svg as part of a page: no ids that could clash, the page's colours of text and ground, a name that is read aloud."""

import re
from xml.etree import ElementTree as ET

from analysis.figures.plots import INK

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ROUNDED = {"d", "x", "y", "transform"}  # places on the page; never a text
ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def inline(svg: bytes, label: str) -> str:
    """The svg that matplotlib wrote, to stand in HTML under this label (plain text)."""
    root, text = ET.fromstring(svg), svg.decode()
    references = set(re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', text))
    used_ids = {name for pair in references for name in pair if name}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style") or child.get("id") == "patch_1":
                parent.remove(child)
    for element in root.iter():
        if element.get("id") not in used_ids:
            element.attrib.pop("id", None)
        for name in ROUNDED & set(element.attrib):
            rounded = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", element.attrib[name])
            element.set(name, " ".join(rounded.split()))
        element.tail = None  # indentation; a figure's texts have no elements in them
        element.text = element.text if (element.text or "").strip() else None
        if "style" in element.attrib:
            element.set("style", element.attrib["style"].replace(INK, "currentColor").replace("#ffffff", "var(--ground)"))
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    root.attrib.pop("version", None)
    root.attrib.update({"role": "img", "aria-label": label, "style": f"max-width: {width * 4 / 3:.0f}px"})
    return ET.tostring(root, encoding="unicode")
