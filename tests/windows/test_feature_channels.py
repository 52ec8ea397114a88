"""Channels of features beside the windows: which signals have them, what they are called, and what the card says of them."""

from dataclasses import replace

import numpy as np
import pytest
from builders.recordings import MAJORITY, PAPER, recording, segment
from pydantic import ValidationError

from raylab.errors import RecordingError
from raylab.recordings import Channel, Recording
from raylab.recordings.csv_description import ChannelEntry
from raylab.windows.channel_card import FeatureCard
from raylab.windows.feature_channels import FeatureChannels, feature_channels, kind_of
from raylab.windows.quality_channels import mean_quality, quality_channels
from raylab.windows.segmentation import cut

AXES = tuple(Channel(f"wrist_acc_{axis}", "acc", 32.0, 8.0, "g", "P1.csv") for axis in "xyz")
PULSE = Channel("pulse", "bvp", 64.0, 64.0, "a.u.", "P1.csv")
SKIN = Channel("skin", "eda", 4.0, 4.0, "uS", "P1.csv")
CHANNELS = (*AXES, PULSE, SKIN)


def person(*channels: Channel, seconds: float = 90.0) -> Recording:
    """Two sessions of noise; the pulse of the second stands still from its middle on."""
    made = [segment(seconds, start_s, channels=channels) for start_s in (0.0, 200.0)]
    for channel in channels:
        if channel.modality == "bvp":
            made[1].signals[channel.name][round(seconds / 2 * channel.rate_hz) :] = 0.0
    return recording(*made, channels=channels)


def features(one: Recording, *contexts_s: float) -> FeatureChannels:
    return feature_channels(one, cut(one, [MAJORITY], PAPER), PAPER.window_s, contexts_s)


def test_each_signal_has_one_more_channel_of_one_step() -> None:
    """Three axes are one signal; names, units, sources and contexts stand in the card, and the values lie beside the windows."""
    one = person(*CHANNELS)
    windows = cut(one, [MAJORITY], PAPER)
    found = feature_channels(one, windows, PAPER.window_s, (10.0, 30.0))

    assert ["wrist_acc_features", "pulse_features", "skin_features"] == [card.name for card in found.cards]
    acc, pulse, skin = found.cards
    assert acc.sources == ("wrist_acc_x", "wrist_acc_y", "wrist_acc_z")
    assert pulse.feature_names[:2] == ("heart_rate_10s", "rmssd_10s")
    assert (pulse.features[5].name, pulse.features[5].unit, pulse.reach_s) == ("heart_rate_30s", "1/min", 30.0)
    assert {"uS", "uS/min", "1/min"} == {feature.unit for feature in skin.features}
    assert (skin.modality, skin.length, skin.n_features, skin.rate_hz) == ("features", 1, 16, 0.1)
    for card in found.cards:
        assert found.signals[card.name].shape == (len(windows.start_s), 1, card.n_features)
    assert list(found.beside(windows).signals) == [*windows.signals, *(card.name for card in found.cards)]


def test_values_are_of_the_signal_as_recorded() -> None:
    """Neither winsorized nor normalized: mean and slope are those of the samples of the window, in their unit."""
    one = person(*CHANNELS)
    windows = cut(one, [MAJORITY], PAPER)
    found = feature_channels(one, windows, PAPER.window_s, (10.0,))
    mean = found.signals["skin_features"][:, 0, 0]
    for row in (0, 5, len(mean) - 1):
        part = one.segments[windows.segment[row]]
        begin = round((windows.start_s[row] - part.start_s) * 4)
        np.testing.assert_allclose(mean[row], part.signals["skin"][begin : begin + 40].mean(), rtol=1e-5)


def test_a_context_ends_with_the_window_and_begins_in_its_session() -> None:
    """The mean over 30 s is that of three windows in a row; the first window of a session has its own 10 s alone."""
    one = person(*AXES, SKIN)
    windows = cut(one, [MAJORITY], PAPER)
    values = feature_channels(one, windows, PAPER.window_s, (10.0, 30.0)).signals["wrist_acc_features"][:, 0]
    short, long = values[:, 0], values[:, 3]
    for session in (0, 1):
        rows = np.flatnonzero(windows.segment == session)
        assert short[rows[0]] == long[rows[0]]
        np.testing.assert_allclose(long[rows[4]], short[rows[[0, 2, 4]]].mean(), rtol=1e-5)


def test_a_heart_that_is_not_found_is_missing_by_name() -> None:
    """Windows after the pulse stopped lack the features of the heart, and are counted; a channel that lacks nothing is not named."""
    found = features(person(*CHANNELS))
    assert {"pulse_features", "skin_features"} >= set(found.missing)
    lacking = np.isnan(found.signals["pulse_features"][:, 0, 0])
    assert lacking[-5:].all()
    assert found.missing["pulse_features"]["heart_rate_10s"] == lacking.sum()
    assert "wrist_acc_features" not in found.missing
    assert not np.isinf(found.signals["pulse_features"]).any()


@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        (Channel("a", "EDA", 4, 4, ""), "eda"),
        (Channel("finger_GSR", "skin", 4, 4, ""), "eda"),
        (Channel("chest-ppg2", "optical", 64, 64, ""), "bvp"),
        (Channel("RESP", "belt", 25, 25, ""), "resp"),
        (Channel("a", "eda", 64, 64, "", kind="ecg"), "ecg"),
        (Channel("facct", "voice", 64, 64, ""), None),
    ],
)
def test_the_kind_is_declared_or_told_by_modality_or_name(channel: Channel, kind: str | None) -> None:
    """A declared kind decides, then the modality, then a whole word of the name."""
    found = kind_of(channel)
    assert kind == (found.name if found else None)


def test_kinds_of_a_description_are_those_that_have_features() -> None:
    """What dataset.yaml may declare is what features are declared for; anything else is refused."""
    for kind in ("eda", "bvp", "ecg", "resp", "emg", "temp", "acc"):
        assert (
            kind_of(Channel("a", "b", 64, 64, "", kind=ChannelEntry(modality="b", rate_hz=64, kind=kind).kind or "")).name
            == kind
        )  # type: ignore[union-attr]
    with pytest.raises(ValidationError):
        ChannelEntry(modality="b", rate_hz=64, kind="heart")  # type: ignore[arg-type]


def test_a_threshold_in_microsiemens_is_for_microsiemens() -> None:
    """Skin conductance in another unit has no responses; too slow a pulse has no features at all."""
    found = features(person(replace(SKIN, unit="a.u."), replace(PULSE, rate_hz=8.0, target_rate_hz=8.0)))
    assert ["skin_features"] == [card.name for card in found.cards]
    assert "phasic_sd_10s" == found.cards[0].feature_names[-1]


def test_what_has_no_features_is_refused() -> None:
    """No channel of a known kind, and a channel that is called as features would be."""
    with pytest.raises(RecordingError, match=r"no channel has features: none of breeze .*kind:"):
        features(person(Channel("breeze", "wind", 8.0, 8.0, "m/s", "P1.csv")))
    with pytest.raises(RecordingError, match="two channels would be named skin_features"):
        features(person(SKIN, Channel("skin_features", "wind", 8.0, 8.0, "m/s", "P1.csv")))


def test_a_card_of_features_fits_its_values() -> None:
    """As many names as values, one step, and modality and features together or neither."""
    card = features(person(SKIN)).cards[0]
    assert type(card).model_validate(card.model_dump()) == card
    more = FeatureCard(name="more", unit="", sources=("skin",), context_s=10.0)
    for change in ({"features": ()}, {"features": (*card.features, more)}, {"length": 2}, {"modality": "eda"}):
        with pytest.raises(ValidationError):
            card.changed(**change)


def test_quality_is_a_channel_of_its_own_beside_the_features() -> None:
    """Named and dated as features are, of another modality; its mean per person is told by channel and measure."""
    one = person(*CHANNELS)
    windows = cut(one, [MAJORITY], PAPER)
    found = quality_channels(one, windows, PAPER.window_s)
    assert ["wrist_acc_quality", "pulse_quality", "skin_quality"] == [card.name for card in found.cards]
    acc, pulse, skin = found.cards
    assert acc.feature_names == ("flat_share_10s", "clipped_share_10s", "motion_10s")
    assert (acc.modality, acc.features[2].unit, acc.reach_s) == ("quality", "g/s", 10.0)
    assert (pulse.feature_names, skin.feature_names) == (
        ("flat_share_10s", "clipped_share_10s", "beat_share_10s"),
        ("flat_share_10s",),
    )
    still = found.signals["pulse_quality"][:, 0, 0]
    second_half = (windows.segment == 1) & (windows.start_s - 200 >= 50)
    np.testing.assert_allclose(still[second_half], 1.0)
    assert still[windows.segment == 0].max() == 0
    means = mean_quality(found)
    assert means["pulse_quality"]["flat_share_10s"] == pytest.approx(still.mean(), abs=1e-4)
    assert not found.missing
