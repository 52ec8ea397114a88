"""The store of weights: the same bits again, damaged files noticed, every training accounted for."""

from typing import Any

import pytest
import safetensors.torch
from builders.training import context_of, network_of, same

from raylab.files import Folder
from raylab.models.network import PARTS
from raylab.models.registry import ENCODERS
from raylab.training.stage_store import StageStore
from raylab.windows.dataset import Windows


@pytest.fixture
def store(tmp_path: Any) -> StageStore:
    return StageStore(Folder(tmp_path))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_stored_parts_come_back_to_the_bit(store: StageStore, made: Windows, encoder: str) -> None:
    """What is saved is loaded, for the parts that the stage freed and no others."""
    network = network_of(context_of(made, encoder, adapter=True))
    state = network.state_of(("adapter", "head"))

    store.save("abc", state)

    loaded = store.load("abc")
    assert loaded is not None
    assert same(state, loaded)
    assert {"adapter", "head"} == {name.split(".")[0] for name in loaded}
    assert {"abc"} == store.hashes()
    assert store.has("abc")


def test_a_stage_that_was_not_stored_is_none(store: StageStore) -> None:
    """An empty store has nothing and says so with None."""
    assert not store.has("abc")
    assert store.load("abc") is None
    assert set() == store.hashes()
    assert store.trainings() == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_treated_as_missing(store: StageStore, made: Windows, share: float) -> None:
    """A file that ends early gives None, so that the stage is trained again, and saving repairs it."""
    state = network_of(context_of(made)).state_of(PARTS)
    store.save("abc", state)
    data = store.folder.read("stages/abc.safetensors")
    store.folder.write("stages/abc.safetensors", data[: int(share * len(data))])

    assert store.load("abc") is None
    store.save("abc", state)
    assert same(state, store.load("abc") or {})


def test_a_file_with_a_wrong_byte_is_treated_as_missing(store: StageStore, made: Windows) -> None:
    """One bit of one weight changed on disk is noticed; a file from before there were digests is believed."""
    state = network_of(context_of(made)).state_of(PARTS)
    store.save("abc", state)
    data = bytearray(store.folder.read("stages/abc.safetensors"))
    data[-3] ^= 1
    store.folder.write("stages/abc.safetensors", bytes(data))
    store.folder.write("stages/old.safetensors", safetensors.torch.save(state))

    assert store.load("abc") is None
    assert same(state, store.load("old") or {})


def test_a_training_says_that_it_repairs(store: StageStore) -> None:
    """A training of a stage whose file is there is one that was needed again; the first one of a stage is not."""
    store.begin("abc", {"trial": "first"})
    store.folder.write("stages/abc.safetensors", b"damaged")
    store.begin("abc", {"trial": "second"})

    assert {"first": False, "second": True} == {row["trial"]: row["repairs"] for row in store.trainings()}


def test_every_training_is_accounted_for(store: StageStore) -> None:
    """Each attempt is noted when it starts and again when it is completed; two attempts at one stage are two trainings."""
    first, second = store.begin("abc", {"trial": "t1"}), store.begin("abc", {"trial": "t2"})

    store.complete(first, {"steps": 12, "curve": [{"epoch": 1, "loss": 0.5}]})

    account = {record["trial"]: record for record in store.trainings()}
    assert first != second
    assert {trial: record["status"] for trial, record in account.items()} == {"t1": "completed", "t2": "started"}
    assert {"abc"} == {record["stage"] for record in account.values()}
    assert (account["t1"]["steps"], account["t1"]["curve"]) == (12, [{"epoch": 1, "loss": 0.5}])
    assert account["t1"]["started"] <= account["t1"]["ended"]
    assert "ended" not in account["t2"]
