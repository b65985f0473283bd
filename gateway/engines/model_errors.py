"""What the model libraries raise while they load, in one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import EngineError, ModelError


@contextmanager
def model_errors(model: str, form: str) -> Iterator[None]:
    """Load a model inside this: whatever goes wrong becomes a `ModelError`.

    Args:
        model: what is loaded, and its path.
        form: what it should be, "a Piper voice".

    Raises:
        ModelError: the model cannot be used; one line that says what to do.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # boundary: on odd files the libraries raise anything
        raise ModelError(f"{model} {_advice(error, form)}") from error


def _advice(error: Exception, form: str) -> str:
    match error:
        case ImportError():
            return f"needs a package that is not installed ({error}); choose another"
        case MemoryError():
            return "does not fit into the free memory; free some or choose a smaller one"
        case OSError():
            return f"cannot be read ({error.strerror or error}); correct the permissions"
        case EngineError():
            return f"was read but does not work ({error}); download it again"
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    return f"is damaged or not {form} ({cause}); download it again"
