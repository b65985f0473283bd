# Sourced by run.sh and test.sh: makes .venv in the repository and installs the gateway into it.
# Works with the bash 3.2 of macOS too.

# Python to build the environment with: $PYTHON if set, else the newest on the PATH, but one that not
# every package may be prebuilt for only where there is no other.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        if ! is_new_enough "$PYTHON"; then
            fail "PYTHON=$PYTHON is not a Python 3.11 or newer." \
                "Set PYTHON to one, or unset it to have the PATH searched."
        fi
        echo "$PYTHON"
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3 python3.14; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found on the PATH." \
        "  Debian, Ubuntu: sudo apt-get install python3 python3-venv" \
        "  Ubuntu 22.04:   sudo apt-get install python3.11 python3.11-venv" \
        "  Fedora, RHEL:   sudo dnf install python3.12" \
        "  macOS:          brew install python@3.12" \
        "Or name one: PYTHON=/path/to/python3 $0"
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# llama-cpp-python is compiled on the machine it runs on, for the processor it finds there.
require_compiler() {
    if has_any "${CC:-}" cc gcc clang && has_any "${CXX:-}" c++ g++ clang++; then
        return
    fi
    fail "A C and C++ compiler is needed to build llama-cpp-python, and none was found." \
        "  Debian, Ubuntu: sudo apt-get install build-essential" \
        "  Fedora:         sudo dnf install gcc gcc-c++" \
        "  macOS:          xcode-select --install" \
        "Then run this again."
}

has_any() {
    local program
    for program in "$@"; do
        # Unquoted: CC may hold options as well ("gcc -m64"). Being there is not enough: macOS has
        # a cc that only says that the real one is not installed.
        if [ -n "$program" ] && $program --version >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}

# Whether pip is told to use no package index; these values mean to it that it is not.
without_index() {
    case "${PIP_NO_INDEX:-}" in
        "" | 0 | [Nn] | [Nn][Oo] | [Ff] | [Ff][Aa][Ll][Ss][Ee] | [Oo][Ff][Ff]) return 1 ;;
    esac
}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# What the environment was installed from: what it asks for, where it stands, which Python it has.
fingerprint() {
    "$1" -c '
import hashlib, os, sys
content = open("pyproject.toml", "rb").read()
print(hashlib.sha256(content).hexdigest(), "%d.%d" % sys.version_info[:2], os.getcwd())'
}

# set_up_environment [EXTRA]: after it, .venv has the gateway with that extra and is on the PATH.
# A stamp for each extra lets a second run skip the installation.
set_up_environment() {
    local extra="${1:-}" python version wanted stamp target="." carried="${PIP_FIND_LINKS:-}"
    stamp=".venv/.installed-${extra:-base}"
    # Without pip it is what an interrupted "python -m venv" left.
    if [ ! -x .venv/bin/python ] || ! is_new_enough .venv/bin/python ||
        ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        # In a subshell a failure could not end the script by itself.
        python="$(find_python)" || exit 1
        echo "Making .venv with $("$python" --version)"
        if ! "$python" -m venv --clear .venv; then
            rm -rf .venv
            if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
                # Python tells nothing more of a full disk than that its ensurepip has failed.
                fail "Could not make .venv with $python: the reason stands above, or the disk is full." \
                    "Once it is removed, run this again."
            fi
            # Debian's python3-venv is that of its default Python only.
            version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
            fail "Could not make .venv with $python, which lacks ensurepip." \
                "  Debian, Ubuntu: sudo apt-get install python$version-venv" \
                "Then run this again."
        fi
    fi
    wanted="$(fingerprint .venv/bin/python)"
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        if [ -n "$extra" ]; then
            target=".[$extra]"
        fi
        set -- -e "$target"
        # Not by PIP_FIND_LINKS, in which a space ends a path.
        if without_index && [ -d wheels ]; then
            set -- --find-links "$PWD/wheels" "$@"
            carried="$PWD/wheels${carried:+ and $carried}"
        fi
        if .venv/bin/python -c 'import llama_cpp' >/dev/null 2>&1; then
            echo "Installing what pyproject.toml asks for."
        elif without_index && [ -n "$carried" ]; then
            # No compiler is asked for: what was carried here was compiled before.
            echo "Installing from the packages in $carried."
        elif without_index; then
            echo "Installing without a package index; there is no folder $PWD/wheels either," \
                "and PIP_FIND_LINKS is not set."
        else
            require_compiler
            echo "Installing. llama-cpp-python may have to be compiled: about 5 minutes, this once."
        fi
        # GCC 12 compiles llama.cpp's AMX code into an illegal instruction: it drops most of the tiles'
        # shapes (https://github.com/ggml-org/llama.cpp/pull/26954). Without this macro that code is
        # left out, for pip alone. Who installs with --user by default cannot mean it here.
        PIP_USER=0 CFLAGS="${CFLAGS:+$CFLAGS }-U__AMX_INT8__" \
            CXXFLAGS="${CXXFLAGS:+$CXXFLAGS }-U__AMX_INT8__" \
            .venv/bin/python -m pip install --disable-pip-version-check --quiet "$@" ||
            fail "The installation failed; the reason stands above." \
                "Once it is removed, run this again: what is already built is kept."
        echo "$wanted" >"$stamp"
    fi
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
}
