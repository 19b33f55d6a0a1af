"""Ends with 0 when the address answers 200 with the text in it, otherwise with 1."""

import sys
import urllib.request


def main(address: str, text: str) -> int:
    # A proxy of the environment has nothing to do with 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=5) as answer:
        return 0 if answer.status == 200 and text in answer.read().decode() else 1


try:
    sys.exit(main(*sys.argv[1:]))
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
