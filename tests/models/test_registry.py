"""One list of models: every name has a class, no class takes another's place, and reading the list loads no networks."""

import subprocess
import sys

import pytest

import raylab.models.build  # noqa: F401  the classes
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS, Declaration, implements

SHAPES = {"a": (16, 2), "b": (8, 1)}


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_every_encoder_has_a_class(encoder: Declaration) -> None:
    """It says how many features come out."""
    assert 0 < encoder.build(16, 2, 0.1).n_out


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_every_fusion_has_a_class(fusion: Declaration) -> None:
    """It keeps the channels in their order."""
    assert ["a", "b"] == fusion.build(SHAPES, "fcn", 0.1, 3).channels


@pytest.mark.parametrize("model", CLASSICAL_MODELS.values(), ids=CLASSICAL_MODELS)
def test_every_classical_model_has_a_class(model: Declaration) -> None:
    """It takes channels, classes and a seed."""
    assert 3 == model.build(["a", "b"], 3, 0).n_classes


def test_a_name_has_one_class() -> None:
    """A second class for a name is refused, and so is building a name that has none."""
    with pytest.raises(RuntimeError, match="FCN and Other both implement 'fcn'"):

        @implements(ENCODERS["fcn"])
        class Other:
            pass

    with pytest.raises(RuntimeError, match=r"no class implements 'nothing' yet; import raylab\.models\.build"):
        Declaration("nothing", "").build()


def test_the_list_loads_no_networks() -> None:
    """A study's names can be read and printed without torch."""
    code = "import sys, raylab.models.registry; print('torch' in sys.modules)"
    assert "False" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
