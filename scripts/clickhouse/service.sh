# shellcheck shell=bash
# ClickHouse without a container engine: the real engine as a library (chdb, from an npm
# registry) behind its HTTP interface, which the program in front/ serves. Sourced by
# scripts/services, which sets these:
: "${root:?}" "${cache:?}" "${state:?}"

clickhouse_files=$root/scripts/clickhouse
# 26.7.3 like the image in docker-compose.yml; the rest counts releases of the package.
clickhouse_version=26.7.3-stable.1
clickhouse_lib=$cache/chdb-$clickhouse_version/libchdb.so

# clickhouse_package prints the npm package for this machine.
clickhouse_package() {
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) echo @chdb/lib-linux-x64-gnu ;;
    *) die "without a container engine ClickHouse runs on Linux on x86-64 only, since its library is published for nothing else at version $clickhouse_version" ;;
  esac
  # The library is linked against glibc.
  [ ! -e /etc/alpine-release ] ||
    die "ClickHouse's library needs glibc, which this system has not; use a container engine"
}

# clickhouse_front prints where the program belongs: its sources and Go decide its name.
clickhouse_front() {
  local sum
  sum=$({
    go env GOVERSION && cd "$clickhouse_files/front" && cat go.mod go.sum &&
      find . \( -name '*.go' ! -name '*_test.go' -o -name '*.[ch]' \) -print | LC_ALL=C sort | xargs cat
  } | cksum)
  echo "$cache/clickhouse-front-${sum%% *}"
}

clickhouse_install() {
  local compiler
  need go "to build the front of ClickHouse"
  compiler=$(go env CC)
  need "${compiler%% *}" "to build the front of ClickHouse (a C compiler)"
  need python3 "to ask ClickHouse whether it is up"
  clickhouse_install_library
  clickhouse_install_front
}

clickhouse_install_library() {
  local package work
  [ -d "${clickhouse_lib%/*}" ] && return
  package=$(clickhouse_package)
  need npm "to download ClickHouse's library"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/download-chdb.XXXXXX")
  say "downloading ClickHouse's library, chdb $clickhouse_version (about 570 MB unpacked, once)"
  if ! npm install --prefix "$work" --ignore-scripts --no-save --no-package-lock --no-audit --no-fund \
    "$package@$clickhouse_version" >"$work/npm.log" 2>&1; then
    tail -n 20 "$work/npm.log" >&2
    rm -rf "$work"
    die "npm could not download $package $clickhouse_version"
  fi
  if [ ! -f "$work/node_modules/$package/libchdb.so" ]; then
    rm -rf "$work"
    die "$package $clickhouse_version holds no libchdb.so"
  fi
  publish "$work/node_modules/$package" "${clickhouse_lib%/*}"
  rm -rf "$work"
}

clickhouse_install_front() {
  local front work
  front=$(clickhouse_front)
  [ -d "$front" ] && return
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build-clickhouse.XXXXXX")
  say "building the front of ClickHouse (once)"
  if ! (cd "$clickhouse_files/front" && CGO_ENABLED=1 GOFLAGS='' GOWORK=off go build -trimpath -o "$work/front/front" .) >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    rm -rf "$work"
    die "the front of ClickHouse does not build"
  fi
  publish "$work/front" "$front"
  rm -rf "$work"
}

# The passwords are in the environment that scripts/services exports, not on the command
# line, which every user of the machine may read.
clickhouse_start() { # HOME PORT
  launch clickhouse "$(clickhouse_front)/front" -lib "$clickhouse_lib" -data "$1/data" -listen "127.0.0.1:$2"
}

clickhouse_ping() { # URL
  CLICKHOUSE_URL=$1 python3 "$clickhouse_files/ping.py"
}
