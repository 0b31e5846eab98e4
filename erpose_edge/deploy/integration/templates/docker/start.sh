#!/bin/sh
# What a container starts: build the engine where there is none yet, then serve. Arguments are those
# of `run`, which refuses to serve when the self-test fails. Poses go to standard output.
set -eu
cd "$(dirname "$0")/../.."
python3 -m erpose_runtime build >&2
exec python3 -m erpose_runtime run "$@"
