#!/usr/bin/env python3
"""Download models: the same as `voice-gateway models download`.

.venv/bin/python scripts/download_models.py laptop --write-env
.venv/bin/python scripts/download_models.py --help
"""

from __future__ import annotations

import sys

from gateway.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["models", "download"]
    main()
