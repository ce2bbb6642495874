# bnn2fpga with g++, yosys, and openXC7's place and route for the xc7z020. AMD's tools stay on the host and are
# mounted when they are wanted; README.md has the commands.

# ---- openXC7: built by its own flake; only what runs, and the database of one chip, go into the image
FROM nixos/nix:2.28.3 AS openxc7
# a commit, as github:openXC7/toolchain-nix/COMMIT, makes the image reproducible
ARG OPENXC7=github:openXC7/toolchain-nix
ARG CHIP=xc7z020clg400
SHELL ["/nix/var/nix/profiles/default/bin/bash", "-o", "pipefail", "-c"]
# hadolint sees no pipefail in a bash at that place
# hadolint ignore=DL4006
RUN echo 'experimental-features = nix-command flakes' >> /etc/nix/nix.conf \
    && mkdir -p /made /openxc7/bin /closure \
    && for package in nextpnr-xilinx prjxray nextpnr-xilinx-chipdb.zynq7; do \
        nix build "$OPENXC7#packages.x86_64-linux.$package" --out-link "/made/$package" || exit 1; \
    done \
    && nix develop "$OPENXC7" --command printenv PYTHONPATH | tr ':' '\n' | grep '^/nix' > /made/pythonpath
# nextpnr-xilinx holds the databases of all families: of its folder only bin/ is kept
# hadolint ignore=DL4006
RUN nextpnr=$(realpath /made/nextpnr-xilinx) prjxray=$(realpath /made/prjxray) \
    && cut -d / -f 1-4 /made/pythonpath | xargs nix-store -qR "$nextpnr" "$prjxray" | sort -u > /made/closure \
    && mkdir -p "/closure$nextpnr" \
    && grep -vx "$nextpnr" /made/closure | xargs cp -a -t /closure/nix/store \
    && cp -a "$nextpnr/bin" "/closure$nextpnr/" \
    && cp -L "/made/nextpnr-xilinx-chipdb.zynq7/$CHIP.bin" /openxc7/ \
    && cp -rL "$nextpnr/share/nextpnr/external/prjxray-db/zynq7" /openxc7/zynq7 \
    && ln -s "$nextpnr/bin/nextpnr-xilinx" "$prjxray/bin/xc7frames2bit" /openxc7/bin/ \
    && printf '#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' "$(paste -s -d : /made/pythonpath)" \
        "$prjxray/bin/fasm2frames" > /openxc7/bin/fasm2frames \
    && chmod 755 /openxc7/bin/fasm2frames

# ---- the package and its Python packages, in an environment of their own
FROM python:3.11-slim-bookworm AS package
# pip's and uv's own variables: a place with a CPU wheel of PyTorch makes the image several GB smaller
ARG UV_FIND_LINKS=
ENV UV_PROJECT_ENVIRONMENT=/opt/bnn2fpga UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bnn2fpga bnn2fpga
COPY hls_templates hls_templates
COPY boards boards
RUN pip install --no-cache-dir 'uv>=0.5,<1' && uv sync --no-dev --no-editable --no-cache

# ---- the image
FROM python:3.11-slim-bookworm
# g++ and yosys for the checks and the open flow; the rest is what Vitis HLS and Vivado expect of a system.
# Debian's servers keep no old versions, so none are pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ yosys \
        libc6-dev-i386 libtinfo5 libncurses5 libudev1 libx11-6 libxext6 libxrender1 libxtst6 libxi6 libfreetype6 \
        fontconfig locales make unzip zip \
    && rm -rf /var/lib/apt/lists/* \
    && sed -i 's/^# *\(en_US.UTF-8\)/\1/' /etc/locale.gen \
    && locale-gen \
    && useradd --create-home --uid 1000 user
ENV LANG=en_US.UTF-8 LC_ALL=en_US.UTF-8 PATH=/opt/bnn2fpga/bin:/openxc7/bin:$PATH
COPY --from=openxc7 /closure/nix /nix
COPY --from=openxc7 /openxc7 /openxc7
COPY --from=package /opt/bnn2fpga /opt/bnn2fpga
COPY bnn2fpga/cli/entry.sh /usr/local/bin/entry
USER 1000
WORKDIR /home/user
ENTRYPOINT ["/usr/local/bin/entry"]
CMD ["--help"]
