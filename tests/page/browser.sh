#!/bin/sh
# A browser for the tests of the page: Chromium, where apt-get can install it, and what drives it. It never fails:
# what is missing is said at the end of the tests, which are not run then.
set -u
python=$1

as_root() { # two minutes: where there is no network apt-get tries for longer
    if [ "$(id -u)" -eq 0 ]; then timeout 120 "$@"; else sudo -n timeout 120 "$@"; fi
}

"$python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    -r "$(dirname "$0")/requirements.lock" || echo "tests/page: there is no Playwright for this Python" >&2
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if command -v apt-get >/dev/null; then
    { as_root apt-get update -q && as_root apt-get install -q -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
        echo "tests/page: there is no Chromium" >&2
fi
exit 0
