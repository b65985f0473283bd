"""How a speech recognition model wants to be asked, where its folder says so."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

logger = logging.getLogger(__name__)


class SttHints(BaseModel):
    """What holds for a recogniser unless its ``config.json`` says otherwise under
    ``voice_gateway``, as those of the starter recipe do.

    Attributes:
        prompts: whether it was trained to listen to words before the audio (hotwords).
        beam_size: hypotheses to follow; more are slower, and help a model that is unsure.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    prompts: bool = True
    beam_size: int = Field(default=1, ge=1, le=10)


class _Config(BaseModel):
    voice_gateway: SttHints = SttHints()


def stt_hints(model: Path) -> SttHints:
    """The hints of a CTranslate2 Whisper directory; the usual ones, with a warning, where those
    given make no sense. What else may be wrong with the directory is said when it is loaded.
    """
    file = model / "config.json"
    try:
        return _Config.model_validate_json(file.read_bytes()).voice_gateway
    except OSError:
        return SttHints()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        logger.warning("%s is ignored for how to ask the model: %s: %s", file, place, first["msg"])
        return SttHints()
