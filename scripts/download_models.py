#!/usr/bin/env python3
"""Download models: the same as `voice-gateway models download`.

.venv/bin/python scripts/download_models.py laptop --write-env
.venv/bin/python scripts/download_models.py --help
"""

from __future__ import annotations

import sys

try:
    from gateway.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"{error}; run this with .venv/bin/python, which ./scripts/run.sh makes")

if __name__ == "__main__":
    sys.argv[:1] = ["voice-gateway", "models", "download"]
    main()
