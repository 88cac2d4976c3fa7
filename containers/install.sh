#!/bin/sh
# What both recipes run: requirements.lock, hash-checked, into /opt/sgdtails, and the digest of all that was installed.
# Usage: install.sh LOCK. Mirrors come from uv's and pip's own variables; the builder may bind a folder to /mnt,
# with certificate authorities in ca.crt, to keep uv's cache in.
set -eu
lock=$1
export LC_ALL=C.UTF-8

# Debian's own images have no Python, and its Python no venv.
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends python3-venv ca-certificates
    rm -rf /var/lib/apt/lists/*
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "sgdtails needs Python 3.11 or newer in the image; choose another base" >&2; exit 1; }

ca=/mnt/ca.crt
[ -s "$ca" ] || ca=/etc/ssl/certs/ca-certificates.crt
[ ! -s "$ca" ] || export SSL_CERT_FILE="$ca" PIP_CERT="$ca"
if mountpoint -q /mnt; then export UV_CACHE_DIR=/mnt/uv; else export UV_NO_CACHE=1; fi
export UV_LINK_MODE=copy

# uv first, at the locked version, and by uv the rest, as the Makefile does.
python3 -m venv /opt/sgdtails
sed -n '/^uv==/,/[^\\]$/p' "$lock" > /tmp/uv.lock
/opt/sgdtails/bin/python -m pip install --quiet --no-cache-dir --require-hashes -r /tmp/uv.lock
rm /tmp/uv.lock
VIRTUAL_ENV=/opt/sgdtails /opt/sgdtails/bin/uv pip sync --quiet --compile-bytecode --require-hashes "$lock"

# What is in the image, as one number that anyone can compute again (image-digest); jobs write it into their tables.
cat > /usr/local/bin/image-digest <<'EOF'
#!/bin/bash
# sha256 of all files in /usr and /opt, apart from bytecode, which holds times.
set -eo pipefail
cd /
find usr opt -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
EOF
chmod 755 /usr/local/bin/image-digest
image-digest > /etc/sgdtails-image
