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
    except ImportError as error:
        text = f"{model} needs a package that is not installed ({error}); choose another"
        raise ModelError(text) from error
    except MemoryError as error:
        text = f"{model} does not fit into the free memory; free some or choose a smaller one"
        raise ModelError(text) from error
    except OSError as error:
        text = f"{model} cannot be read ({error.strerror or error}); correct the permissions"
        raise ModelError(text) from error
    except EngineError as error:
        text = f"{model} was read but does not work ({error}); download it again"
        raise ModelError(text) from error
    except Exception as error:
        # On odd files the libraries raise anything: KeyError, TypeError, a bare Exception.
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"{model} is damaged or not {form} ({cause}); download it again"
        ) from error
