# bnn2fpga with g++, yosys, and openXC7's place and route for the xc7z020. AMD's tools stay on the host and are
# mounted when they are wanted; README.md has the commands.

# ---- openXC7: a dated package; only what is for the boards' chips goes into the image
FROM debian:bookworm-slim AS openxc7
# a date, as 2026-09-30, makes the image reproducible; otherwise the newest stable release
ARG OPENXC7=latest
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /download
# Debian's servers keep no old versions, so none are pinned
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && from=https://github.com/cavearr/toolchain-openxc7-releases/releases \
    && if [ "$OPENXC7" = latest ]; then \
        tag=$(basename "$(curl -fsSLo /dev/null -w '%{url_effective}' "$from/latest")"); \
    else \
        tag=$OPENXC7; \
    fi \
    && file="openxc7-toolchain-linux-x86-64-${tag//-/}.tgz" \
    && curl -fsSL -O "$from/download/$tag/$file" -O "$from/download/$tag/SHA256SUMS" \
    && sha256sum -c --ignore-missing SHA256SUMS \
    && mkdir /openxc7 \
    && tar xzf "$file" -C /openxc7 \
    && rm "$file" \
    && find /openxc7/share/nextpnr/himbaechel/xilinx -name 'chipdb-*.bin' ! -name 'chipdb-xc7z0[12]0.bin' -delete \
    && find /openxc7/share/nextpnr/external/prjxray-db -mindepth 1 -maxdepth 1 -type d ! -name zynq7 \
        -exec rm -r {} +

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
COPY --from=openxc7 /openxc7 /openxc7
COPY --from=package /opt/bnn2fpga /opt/bnn2fpga
COPY bnn2fpga/cli/entry.sh /usr/local/bin/entry
USER 1000
WORKDIR /home/user
ENTRYPOINT ["/usr/local/bin/entry"]
CMD ["--help"]
