#!/usr/bin/env bash
# Everything a change must pass: formatting, lint, types, tests. Arguments go to pytest.
#
#   ./scripts/test.sh
#   ./scripts/test.sh tests/simulator -k far_end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup_env.sh

set_up_environment dev
ruff check
ruff format --check
# Not by their own commands, which hold the path of the environment and break when it is moved.
python -m mypy
python -m pytest "$@"
