#!/usr/bin/env bash
# Everything a change must pass: formatting, lint, types, tests. Arguments go to pytest.
#
#   ./scripts/test.sh
#   ./scripts/test.sh tests/simulator -k far_end
# "sh scripts/test.sh" may be a shell that knows less.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
# Not where CDPATH leads, which would be searched for a "scripts" first.
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup_env.sh

set_up_environment dev
ruff check
ruff format --check
# Not by their own commands, which hold the path of the environment and break when it is moved.
python -m mypy
python -m pytest "$@"
