"""Serves the platform until Ctrl-C: python examples/custom_tool/serve_lookup.py [PORT]"""

import logging
import sys

from my_platform import build_platform

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    with build_platform() as platform:
        platform.serve_forever(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
