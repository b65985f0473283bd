"""A network that does not carry the caller's audio evenly: bursts, gaps, a drifting clock."""

from __future__ import annotations

import numpy as np

from gateway.audio.pcm import Samples, samples_of
from gateway.simulator.scenario import Network


class NetworkPath:
    """Frames in, what is to be sent now out.

    Attributes:
        pace: duration of a frame at the gateway's clock, relative to the caller's.
    """

    def __init__(self, network: Network | None) -> None:
        network = network or Network()
        self.pace = 1 / (1 + network.drift_percent / 100)
        self._burst = samples_of(network.burst_ms / 1000)
        self._gap = samples_of(network.gap_ms / 1000)
        self._every = samples_of(network.every_ms / 1000)
        self._collected: list[Samples] = []
        self._position = 0

    def push(self, frame: Samples) -> list[Samples]:
        """Take the next frame of the caller; return the chunks that leave now."""
        lost = self._position % self._every >= self._every - self._gap
        self._position += frame.size
        if lost:
            return []
        self._collected.append(frame)
        if sum(piece.size for piece in self._collected) < self._burst:
            return []
        chunk = np.concatenate(self._collected)
        self._collected.clear()
        return [chunk]
