# shellcheck shell=bash
# S3 without a container engine: LocalStack from a Python registry, with the one service.
# It keeps objects in memory, so they are gone after a restart; and it lets requests
# without a signature pass. scripts/versity is for what that hides. Sourced by
# scripts/services, which sets these:
: "${root:?}" "${cache:?}"

s3_files=$root/scripts/s3
# Also in docker-compose.yml.
s3_version=4.13.1

# s3_home prints where LocalStack is installed: a virtual environment belongs to one Python.
s3_home() {
  echo "$cache/localstack-$s3_version-python$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
}

s3_install() {
  local home work
  need python3 "to run LocalStack (version 3.10 or newer)"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "LocalStack needs Python 3.10 or newer, and python3 is older"
  home=$(s3_home)
  [ -d "$home" ] && return
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/download-localstack.XXXXXX")
  say "downloading LocalStack $s3_version (about 200 MB, once)"
  # The bounds are those within which this version works, which its own do not say.
  if ! python3 -m venv "$work/venv" >"$work/log" 2>&1 ||
    ! "$work/venv/bin/python" -m pip install --disable-pip-version-check --quiet \
      "localstack-core[base-runtime]==$s3_version" 'cbor2<6' 'pyopenssl<26' 'cryptography<47' service-identity \
      >>"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    rm -rf "$work"
    die "LocalStack $s3_version could not be installed (a virtual environment needs Python's venv; Debian: python3-venv)"
  fi
  publish "$work/venv" "$home"
  rm -rf "$work"
}

# The last argument means nothing to LocalStack; it marks the process as ours.
s3_start() { # HOME PORT
  SERVICES=s3 EAGER_SERVICE_LOADING=1 GATEWAY_LISTEN="127.0.0.1:$2" \
    S3_SKIP_SIGNATURE_VALIDATION=0 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0 \
    FILESYSTEM_ROOT="$1" TMPDIR="$1" \
    launch s3 "$(s3_home)/bin/python" -m localstack.runtime.main "$1"
}

s3_ping() { # URL
  python3 "$s3_files/ping.py" "$(s3_endpoint "$1")/_localstack/health" '"s3": "running"'
}

# s3_endpoint prints the address of the server in an address of a bucket.
s3_endpoint() { # URL
  local endpoint=${1#*endpoint=}
  echo "${endpoint%%&*}"
}
