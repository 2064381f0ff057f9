#!/bin/sh
# Installs what tests/interop meets, as far as it is missing and can be had: Debian packages with apt (as root),
# npm packages into .interop/. Python packages come with the dev group of pyproject.toml. Never fails: a test
# whose program is missing says so and is left out. What apt and npm said is in .interop/install.log.
set -u
cd "$(dirname "$0")/../.." || exit 0
mkdir -p .interop
log=.interop/install.log
PATH="$PATH:/usr/sbin:/usr/local/sbin"

missing=""
command -v tshark >/dev/null || missing="$missing tshark"
command -v bearerbox >/dev/null || missing="$missing kannel"
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "tests/interop: installing$missing with apt"
    # Tests start Kannel themselves; the package must not start it as a service now or later.
    policy=/usr/sbin/policy-rc.d
    made=""
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1; }
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -q && apt-get install -qy --no-install-recommends $missing; } >$log 2>&1 </dev/null ||
      echo "tests/interop: apt could not; see $log. The tests that need them say so."
    [ -z "$made" ] || rm -f $policy
    case "$missing" in *kannel*) update-rc.d kannel disable >>$log 2>&1 || true ;; esac
  else
    echo "tests/interop:$missing not installed (needs apt and root). The tests that need them say so."
  fi
fi

if command -v npm >/dev/null && ! cmp -s tests/interop/package-lock.json .interop/node_modules/.locked; then
  cp tests/interop/package.json tests/interop/package-lock.json .interop/
  if npm ci --prefix .interop --ignore-scripts --no-audit --no-fund >>$log 2>&1; then
    cp tests/interop/package-lock.json .interop/node_modules/.locked
  else
    echo "tests/interop: npm could not; see $log. The tests that need it say so."
  fi
fi
exit 0
