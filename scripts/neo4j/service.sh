# shellcheck shell=bash
# Neo4j without a container engine: its Community kernel and Bolt server from a Maven
# registry, run by Neo4jServer.java. Sourced by scripts/services,
# which sets these:
: "${root:?}" "${cache:?}"

neo4j_files=$root/scripts/neo4j
neo4j_version=$(sed -n 's#.*<neo4j.version>\(.*\)</neo4j.version>.*#\1#p' "$neo4j_files/pom.xml")
neo4j_lib=$cache/neo4j-$neo4j_version/lib

neo4j_install() {
  need java "to run Neo4j (a JDK of version 17 or 21)"
  need python3 "to ask Neo4j whether it is up"
  java --list-modules 2>/dev/null | grep -q '^jdk.compiler' ||
    die "java is a runtime without a compiler, and Neo4j's launcher needs a JDK of version 17 or 21"
  [ -d "$neo4j_lib" ] && return
  need mvn "to download Neo4j (Apache Maven)"
  local work log
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/download-neo4j.XXXXXX")
  log=$work/mvn.log
  say "downloading Neo4j $neo4j_version (about 120 MB, once)"
  cp "$neo4j_files/pom.xml" "$work/"
  mkdir "$work/neo4j"
  if ! mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$work/neo4j/lib" -DincludeScope=runtime >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$work"
    die "Maven could not download Neo4j $neo4j_version"
  fi
  publish "$work/neo4j" "$cache/neo4j-$neo4j_version"
  rm -rf "$work"
}

neo4j_start() { # HOME PORT
  local heap=${TRELLIS_SERVICES_NEO4J_HEAP:-1g}
  # The opened packages are those Neo4j's own start script opens.
  launch neo4j java "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError \
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED \
    --add-opens=java.base/sun.nio.ch=ALL-UNNAMED \
    -cp "$neo4j_lib/*" "$neo4j_files/Neo4jServer.java" "$1" "$neo4j_files/neo4j.conf" "$2"
}

neo4j_ping() { # URL
  NEO4J_URL=$1 python3 "$neo4j_files/ping.py"
}
