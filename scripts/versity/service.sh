# shellcheck shell=bash
# A second opinion on S3, without a container engine: Versity's gateway, built from its Go
# module. Unlike LocalStack it checks every signature, and keeps objects on the disk, so
# they outlive a kill. Sourced by scripts/services, which sets these:
: "${root:?}" "${cache:?}"

# Also in docker-compose.yml.
versity_version=1.8.0

versity_home() {
  echo "$cache/versitygw-$versity_version-$(go env GOOS)-$(go env GOARCH)"
}

versity_install() {
  local home work
  need go "to build Versity's gateway"
  need python3 "to ask Versity's gateway whether it is up"
  home=$(versity_home)
  [ -d "$home" ] && return
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build-versitygw.XXXXXX")
  say "building Versity's gateway $versity_version (some minutes, once)"
  if ! (cd "$work" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off GOBIN=$work/bin \
    go install -ldflags '-s -w' "github.com/versity/versitygw/cmd/versitygw@v$versity_version") >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    rm -rf "$work"
    die "Versity's gateway $versity_version could not be built"
  fi
  publish "$work/bin" "$home"
  rm -rf "$work"
}

# The keys are in the environment, since every user of the machine may read a command line.
versity_start() { # HOME PORT
  mkdir -p "$1/data"
  ROOT_ACCESS_KEY=trellis ROOT_SECRET_KEY="$TRELLIS_SERVICES_VERSITY_SECRET" \
    VGW_REGION=us-east-1 VGW_HEALTH=/health VGW_KEEP_ALIVE=true VGW_QUIET=true \
    launch versity "$(versity_home)/versitygw" --port "127.0.0.1:$2" posix "$1/data"
}

versity_ping() { # URL
  python3 "$root/scripts/s3/ping.py" "$(s3_endpoint "$1")/health" ''
}
