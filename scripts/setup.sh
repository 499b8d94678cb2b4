# Sourced by run.sh and test.sh: sees to it that this machine can build and boot Tessera. `needs=tests` before it: that it
# can run all tests as well.
#
# With everything there it decides on a toolchain and is done: no network, no waiting. What is missing is installed
# with apt-get on Debian and its kin; elsewhere, or without root rights, it says exactly what to install and stops.

set -eu
here=$PWD # where the caller's relative paths lead from
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

# A complete toolchain for the kernel, as Debian 12 packages it. Keep in step with tools/harness/src/toolchain.rs.
rust_packages="rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web rust-web-llvm lld-22"
library=lib/rustlib/src/rust/library/Cargo.lock
oldest=95 # Rust 1.95

have() { command -v "$1" >/dev/null 2>&1; }

# recent COMMAND...: it is a rustc of the needed age.
recent() {
    minor=$("$@" --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ -n "$minor" ] && [ "$minor" -ge "$oldest" ]
}

# The host's own tools are built with rustup's toolchain where that is recent and installed, else with Debian's.
# RUSTUP_AUTO_INSTALL=0: nothing is downloaded just to find out.
choose_toolchain() {
    export RUSTUP_AUTO_INSTALL=0
    if ! have rustup; then
        recent rustc && have cargo
    elif recent rustc; then
        return 0
    elif recent env RUSTUP_TOOLCHAIN=stable rustc; then
        export RUSTUP_TOOLCHAIN=stable
    elif recent /usr/bin/rustc && [ -x /usr/bin/cargo ]; then
        export RUSTUP_TOOLCHAIN=/usr
    else
        return 1
    fi
}

# Some toolchain here can build `core` for the kernel.
have_kernel_toolchain() {
    if choose_toolchain && [ -e "$(rustc --print sysroot)/$library" ]; then
        return 0
    fi
    recent /usr/bin/rustc && [ -x /usr/bin/cargo ] && [ -e "/usr/$library" ] && [ -x /usr/bin/rust-lld ]
}

missing=""
have_kernel_toolchain || missing="$missing $rust_packages"
have cc || missing="$missing gcc libc6-dev"
have qemu-system-x86_64 || [ -n "${TESSERA_QEMU:-}" ] || missing="$missing qemu-system-x86"
have mke2fs && have debugfs && have e2fsck || missing="$missing e2fsprogs"
if [ "${needs:-}" = tests ]; then
    # For the ISO, and keep in step with tools/harness/src/iso.rs.
    have grub-mkrescue || missing="$missing grub-common"
    have xorriso || missing="$missing xorriso"
    have mformat || missing="$missing mtools"
    [ -d /usr/lib/grub/i386-pc ] || missing="$missing grub-pc-bin"
    [ -d /usr/lib/grub/x86_64-efi ] || missing="$missing grub-efi-amd64-bin"
    [ -e /usr/share/ovmf/OVMF.fd ] || missing="$missing ovmf"
    have gdb || missing="$missing gdb"
    have git || missing="$missing git"
fi

# stop REASON: say what to do by hand, and end.
stop() {
    cat >&2 <<END
$1
Tessera needs, and this machine lacks:$missing
(Debian 12 names). As root:
    apt-get update && apt-get install --yes --no-install-recommends$missing
Instead of Debian's Rust packages, rustup will do: Rust 1.$oldest or newer, with
    rustup component add rust-src clippy rustfmt
END
    exit 1
}

install_missing() {
    have apt-get || stop "There is no apt-get here, so nothing can be installed by this script."
    if [ "$(id -u)" = 0 ]; then
        root=""
    elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        root=sudo
    else
        stop "Installing packages needs root rights, and there is no sudo to get them with."
    fi
    echo "Installing:$missing" >&2
    {
        $root apt-get update --quiet=2 &&
            $root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends $missing
    } >&2 </dev/null || stop "apt-get could not install everything; its messages are above."
    hash -r
}

if [ -n "$missing" ]; then
    install_missing
    have_kernel_toolchain || stop "The packages are installed, but no Rust 1.$oldest with its library source was found."
fi
choose_toolchain || stop "No Rust 1.$oldest was found."
unset RUSTUP_AUTO_INSTALL

# xtask ARGUMENTS...: builds the host tool (without a word when there is nothing to do) and becomes it.
xtask() {
    case "${CARGO_TARGET_DIR:-target}" in
    /*) tool=$CARGO_TARGET_DIR/debug/xtask ;;
    *) tool=$PWD/${CARGO_TARGET_DIR:-target}/debug/xtask ;;
    esac
    quiet=--quiet
    [ -x "$tool" ] || quiet=""
    cargo build $quiet --package xtask </dev/null
    cd "$here"
    exec "$tool" "$@"
}
