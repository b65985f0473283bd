#!/usr/bin/env bash
# Set the gateway up if need be, place the demo calls, then go on serving until Ctrl-C.
#
#   ./scripts/run.sh            demo calls, then serve
#   ./scripts/run.sh --once     demo calls only; exit status 0 if all went well
# "sh scripts/run.sh" may be a shell that knows less.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
# Not where CDPATH leads, which would be searched for a "scripts" first.
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup_env.sh

set_up_environment
exec voice-gateway demo "$@"
