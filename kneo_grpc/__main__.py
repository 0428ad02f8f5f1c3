"""`python -m kneo_grpc` is the kneo command."""

from kneo_grpc.cli import main

if __name__ == "__main__":
    main()
