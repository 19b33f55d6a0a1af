"""Ends with 0 when the ClickHouse at CLICKHOUSE_URL answers a query, otherwise with 1.

A query as the user that tests log in as, in their database: /ping answers before either
is known to work. The address comes by the environment since it holds the password.
"""

import base64
import os
import sys
import urllib.parse
import urllib.request


def main() -> int:
    url = urllib.parse.urlsplit(os.environ["CLICKHOUSE_URL"])
    login = f"{urllib.parse.unquote(url.username or '')}:{urllib.parse.unquote(url.password or '')}"
    request = urllib.request.Request(
        f"http://{url.hostname}:{url.port}/?" + urllib.parse.urlencode({"database": url.path.strip("/")}),
        data=b"SELECT currentDatabase()",
        headers={"Authorization": "Basic " + base64.b64encode(login.encode()).decode()},
    )
    # A proxy of the environment has nothing to do with 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        return 0 if answer.read().decode().strip() == url.path.strip("/") else 1


try:
    sys.exit(main())
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
