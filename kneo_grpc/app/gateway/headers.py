"""Which headers pass: nobody outside speaks in our names, and ours stay inside."""

from typing import Any

Config = dict[str, Any]

FILTER = "envoy.filters.http.header_mutation"
_KIND = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3"


def _other_than(*words: str) -> str:
    """Return a regular expression of every text but the words, none of which begins another one:
    RE2 knows no negation.
    """
    found = [f"{word}.+" for word in words]
    for start in sorted({word[:end] for word in words for end in range(len(word))}):
        follow = "".join(sorted({word[len(start)] for word in words if word.startswith(start)}))
        found.append(f"{start}(?:[^{follow}].*)?")
    return "|".join(found)


# Only the service and this proxy speak in these names.
_OURS = (
    {"prefix": "x-envoy-"},
    {"prefix": "x-kneo-internal-"},
    {"prefix": "x-kneo-client-"},
    {"exact": "x-kneo-http-status"},
    {"exact": "x-kneo-error-json"},
    {"exact": "x-kneo-reply"},
    {"exact": "x-kneo-peer"},
    # The other two, -for and -proto, Envoy checks or sets itself.
    {"safe_regex": {"regex": f"x-forwarded-(?:{_other_than('for', 'proto')})"}},
)
# gRPC refuses a whole call for one header whose name it does not like, or whose -bin is no base64.
_UNFIT = ({"safe_regex": {"regex": "[^:]*[^0-9a-z_.:-].*"}}, {"suffix": "-bin"})
_INNER = ({"prefix": "x-kneo-"}, {"prefix": "grpc-"})


def early_mutations() -> list[Config]:
    """Return the connection manager's early_header_mutation_extensions: before anything is read."""
    config = {
        "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation"
        ".header_mutation.v3.HeaderMutation",
        "mutations": _removed(_OURS),
    }
    return [{"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": config}]


def json_mutations() -> Config:
    """Return the header_mutation filter's part of a JSON route; native calls keep their headers."""
    return {
        "@type": f"{_KIND}.HeaderMutationPerRoute",
        "mutations": {
            "request_mutations": _removed(_UNFIT),
            "response_mutations": [
                *_removed(_INNER),
                {
                    "append": {
                        "header": {"key": "x-content-type-options", "value": "nosniff"},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                },
            ],
        },
    }


def _removed(names: tuple[Config, ...]) -> list[Config]:
    return [{"remove_on_match": {"key_matcher": name}} for name in names]
