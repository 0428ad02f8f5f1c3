"""Generate kneo_grpc/_gen, the descriptor set and the OpenAPI document from proto/, offline. With
--check, fail if what is there is stale.
"""

import argparse
import filecmp
import importlib.resources
import json
import re
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from openapi_document import document

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "kneo_grpc" / "_gen"
OWN = re.compile(r"^(from|import) kneo\.", re.MULTILINE)


def generate(target: Path) -> None:
    """Write modules, stubs and api.binpb below target; imports of own modules become
    kneo_grpc._gen.kneo…
    """
    protos = sorted(
        str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto")
    )
    include = importlib.resources.files(grpc_tools) / "_proto"
    paths = [f"-I{ROOT / 'proto'}", f"-I{ROOT / 'third_party'}", f"-I{include}"]
    code = protoc.main(
        [
            "protoc",
            *paths,
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *protos,
        ]
    )
    # google.rpc's types must be in the set: Envoy skips the conversion of an error whose details
    # it does not know.
    details = ["google/rpc/status.proto", "google/rpc/error_details.proto"]
    code = code or protoc.main(
        [
            "protoc",
            *paths,
            "--include_imports",
            f"--descriptor_set_out={target / 'api.binpb'}",
            *protos,
            *details,
        ]
    )
    commented = target / "commented.binpb"
    code = code or protoc.main(
        [
            "protoc",
            *paths,
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={commented}",
            *protos,
        ]
    )
    if code:
        raise SystemExit(code)
    files = descriptor_pb2.FileDescriptorSet.FromString(commented.read_bytes())
    commented.unlink()
    text = json.dumps(document(files), indent=1, ensure_ascii=False)
    (target / "openapi.json").write_text(f"{text}\n", encoding="utf-8")
    for path in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        path.write_text(OWN.sub(lambda match: f"{match[1]} kneo_grpc._gen.kneo.", path.read_text()))
    for folder in {target, *(path.parent for path in target.rglob("*_pb2.py"))} | {target / "kneo"}:
        (folder / "__init__.py").write_text('"""Generated from proto/; never edited."""\n')


def main() -> None:
    """Generate in place, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when stale")
    if not parser.parse_args().check:
        generate(TARGET)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        names = {str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.is_file()}
        present = {
            str(path.relative_to(TARGET))
            for path in TARGET.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        stale = sorted(names ^ present) + sorted(
            name
            for name in names & present
            if not filecmp.cmp(fresh / name, TARGET / name, shallow=False)
        )
    if stale:
        sys.exit(f"generated code is stale, run `make proto`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
