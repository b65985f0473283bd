"""How a speech recognition model wants to be asked, where its folder says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SttHints:
    """What holds for a recogniser unless its ``config.json`` says otherwise under
    ``voice_gateway``, as those of the starter recipe do.

    Attributes:
        prompts: whether it was trained to listen to words before the audio (hotwords).
        beam_size: hypotheses to follow; more are slower, and help a model that is unsure.
    """

    prompts: bool = True
    beam_size: int = 1


def stt_hints(model: Path) -> SttHints:
    """The hints of a CTranslate2 Whisper directory; the usual ones where it gives none. What else
    may be wrong with the directory is said when it is loaded.
    """
    try:
        given = json.loads((model / "config.json").read_bytes())["voice_gateway"]
        prompts, beam_size = given.get("prompts", True), given.get("beam_size", 1)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return SttHints()
    # A bool is an int in Python, and no number of hypotheses.
    counts = isinstance(beam_size, int) and not isinstance(beam_size, bool) and beam_size >= 1
    return SttHints(prompts is not False, beam_size if counts else 1)
