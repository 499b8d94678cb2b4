#!/bin/sh
# Runs all tests, on this machine and in QEMU; with an argument, those whose names contain it.
# Sets up the machine and builds whatever is needed first. All options: scripts/test.sh --help
needs=tests
. "$(dirname "$0")/setup.sh"
xtask test "$@"
