#!/bin/bash
# The entry of the container: a home that can be written, a locale, AMD's tools where they are mounted, bnn2fpga.
#   XILINX_PATH       where AMD's tools lie, on the host and here (settings64.sh holds absolute paths)
#   XILINX_VERSION    such as 2023.2
#   XILINXD_LICENSE_FILE, LM_LICENSE_FILE   a file, mounted at its own path, or port@server
set -euo pipefail

fail() {
    echo "error: $*" >&2
    exit 3
}

# --user may name someone that this system does not know; AMD's tools write to their home
[ -w "${HOME:-/}" ] || HOME=$(mktemp -d)
export HOME USER="${USER:-$(id -un 2>/dev/null || echo user)}"

if [ -n "${XILINX_PATH:-}" ]; then
    [ -d "$XILINX_PATH" ] || fail "XILINX_PATH: $XILINX_PATH is not here; mount it: -v $XILINX_PATH:$XILINX_PATH:ro"
    version=${XILINX_VERSION:-}
    [ -n "$version" ] || fail "XILINX_VERSION is not set; set it to the version to use, such as 2023.2"
    sourced=
    for tool in Vitis_HLS Vitis Vivado; do
        # up to 2024.2 and from 2025.1 on
        for settings in "$XILINX_PATH/$tool/$version" "$XILINX_PATH/$version/$tool"; do
            [ -f "$settings/settings64.sh" ] || continue
            set +eu
            # shellcheck source=/dev/null
            source "$settings/settings64.sh"
            set -eu
            sourced="$sourced $tool"
        done
    done
    [[ $sourced == *Vivado* ]] || fail "$XILINX_PATH: holds no Vivado $version (Vivado/$version or $version/Vivado)"
    [[ $sourced == *Vitis* ]] || fail "$XILINX_PATH: holds no Vitis $version (Vitis_HLS or Vitis)"
    for name in XILINXD_LICENSE_FILE LM_LICENSE_FILE; do
        [[ ${!name:-} != /* || -e ${!name} ]] || fail "$name: ${!name} is not here; mount it at its own path"
    done
    # without it Vivado's own libudev crashes in containers (AMD article 000034450)
    udev=/lib/x86_64-linux-gnu/libudev.so.1
    [ ! -e "$udev" ] || export LD_PRELOAD="$udev"
fi

exec bnn2fpga "$@"
