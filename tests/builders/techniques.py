"""A small cohort for tests of techniques, and one value of each axis that is an amount."""

from typing import Any

from raylab.techniques.registry import TECHNIQUES

TRAITS = {f"P{i}": {"age": float(20 + 5 * i), "gender": "female" if i % 2 else "male"} for i in range(1, 9)}


def axes_of(technique: str) -> set[str]:
    return {axis.name for axis in TECHNIQUES[technique].axes}


def small_k(technique: str) -> dict[str, Any]:
    """The clusters of a small cohort."""
    return {"k": 2} if technique == "cluster_specific" else {}


def one_amount(technique: str) -> dict[str, Any]:
    """One value of the axes that are amounts, so that there is one variant; and the clusters of a small cohort."""
    axes = {name: value for name, value in {"budget": 2, "stop": "test"}.items() if name in axes_of(technique)}
    return axes | small_k(technique)
