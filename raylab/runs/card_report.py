"""What `raylab prepare` says of the windows that it wrote, from their card."""

from raylab.windows.card import WindowsCard
from raylab.windows.channel_card import FEATURES, QUALITY, ChannelCard


def card_report(card: WindowsCard) -> list[str]:
    """Lines on every participant, and on all of them."""
    lines = []
    for entry in card.participants:
        counts = "; ".join(
            f"{label}: " + ", ".join(f"{n} {name}" for name, n in by_class.items()) for label, by_class in entry.counts.items()
        )
        lines.append(f"  {entry.name:>5}  {entry.duration_s:8.1f} s  {entry.windows:5d} windows  {counts}")
        lines += [f"         {note}" for note in entry.notes]
    lines += [line for channel in card.channels if channel.modality == FEATURES for line in _feature_lines(card, channel)]
    lines += _quality_lines(card)
    lines += [f"  {sentence}" for sentence in card.order]
    total = sum(entry.windows for entry in card.participants)
    lines.append(
        f"{total:,} windows over {len(card.participants)} people, {len(card.channels)} channels, fingerprint {card.fingerprint}"
    )
    return lines


def _feature_lines(card: WindowsCard, channel: ChannelCard) -> list[str]:
    """A channel of features, and how often some of them are missing, those that are missing alike in one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for feature in channel.features:
        if share := card.missing_share(channel.name, feature.name):
            alike.setdefault((f"{share:.1%}", feature.missing), []).append(feature.name)
    lines = [
        f"  {channel.name}: {channel.n_features} features {'of ' + ', '.join(channel.sources) if channel.sources else channel.unit}"
    ]
    return lines + [
        f"    missing in {share} of the windows, because {why}: {', '.join(names)}" for (share, why), names in alike.items()
    ]


def _quality_lines(card: WindowsCard) -> list[str]:
    """A table of signal quality, participants by measures, means over windows; nothing if there is none."""
    columns = [
        (channel.name, measure) for channel in card.channels if channel.modality == QUALITY for measure in channel.feature_names
    ]
    if not columns:
        return []
    heads = [f"{channel.removesuffix('_quality')} {measure.rsplit('_', 1)[0]}" for channel, measure in columns]
    lines = ["  signal quality, means over the windows (`raylab docs features`):", f"  {'':>5}  {'  '.join(heads)}"]
    for entry in card.participants:
        values = [entry.quality.get(channel, {}).get(measure) for channel, measure in columns]
        cells = ["-" if value is None else f"{value:.3g}" for value in values]
        lines.append(f"  {entry.name:>5}  {'  '.join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True))}")
    return lines
