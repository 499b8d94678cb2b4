#!/bin/sh
# Boots Tessera in QEMU: to a shell prompt in this terminal, or with --exec 'CMD' to run one command.
# Sets up the machine and builds whatever is needed first. All options: scripts/run.sh --help
. "$(dirname "$0")/setup.sh"
xtask run "$@"
