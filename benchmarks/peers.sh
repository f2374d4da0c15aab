#!/bin/sh
# The peers that the benchmark compares with: jq, gojq and Miller (mlr) from Debian,
# jaq from its sources, as Debian has none; nginx is what HTTP stages call. What cannot be installed is named at the end;
# the benchmark then reports it as missing.
set -u
here=$(dirname "$0")
missing=""

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

if command -v apt-get >/dev/null; then
    as_root apt-get update -q || echo "peers: the package lists could not be updated" >&2
    # one by one: a release without one of them still gets the others
    for package in jq gojq miller nginx-light strace; do
        as_root apt-get install -q -y --no-install-recommends "$package" || missing="$missing $package"
    done
else
    for tool in jq gojq mlr nginx strace; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
fi

if command -v cargo >/dev/null; then
    cargo install --locked jaq --root "$here/peers" || missing="$missing jaq"
else
    command -v jaq >/dev/null || missing="$missing jaq(needs-cargo)"
fi

if [ -n "$missing" ]; then
    echo "peers: not installed:$missing" >&2
    exit 1
fi
