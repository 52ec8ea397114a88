"""Small studies, as dicts, as objects and as files."""

from pathlib import Path
from typing import Any

import yaml

from raylab.trials.study import Study, parse_study


def study(**changes: Any) -> dict[str, Any]:
    """A small valid study on ``made``."""
    return {
        "name": "test",
        "datasets": [{"windows": "made", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.2}],
        "protocol": {"epochs": 2, "batch_size": 8},
        **changes,
    }


def small(**changes: Any) -> Study:
    """15 trials on the small simulated cohort: a base and two calibrations for each of 5 targets."""
    content = {
        "name": "small",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.2, "unit": "window"}],
        "protocol": {"epochs": 2, "batch_size": 16},
        "keep": "all",  # trainings are counted: none is repeated with its trial
        **changes,
    }
    return parse_study(content, "test")


def two_workers(**changes: Any) -> Study:
    """One trial of two stages, the second of which frees the head alone."""
    return small(
        datasets=[{"windows": "simulated", "label": "stress", "participants": ["P01"]}],
        techniques=[{"name": "fine_tuning", "layers": "last", "budget": 0.3, "unit": "window"}],
        **{"resources": {"workers": 2}, **changes},
    )


def submitted_study(folder: Path, **changes: Any) -> Path:
    """10 trials, each of a second or so, on the small cohort."""
    content = {
        "name": "submitted",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "all", "budget": 0.2, "unit": "window"}],
        "protocol": {"epochs": 12, "patience": 12, "batch_size": 8},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
