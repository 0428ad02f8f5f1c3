"""The service under faults: `make chaos`. docs/reliability.md tells what it shows."""

import os

# Read when gRPC is loaded: its children are new programs, of which it need not warn.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
