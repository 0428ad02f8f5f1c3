"""What must not leave the process: which keys and which shapes of values are blanked."""

from kneo_grpc.domain.redaction.keys import KeyKind
from kneo_grpc.domain.redaction.pieces import PieceRedactor
from kneo_grpc.domain.redaction.redactor import Redactor
from kneo_grpc.domain.redaction.rules import MARKER, Rules, rules_of, secrets_in

__all__ = ["MARKER", "KeyKind", "PieceRedactor", "Redactor", "Rules", "rules_of", "secrets_in"]
