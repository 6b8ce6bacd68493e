"""`care-gateway schema`: the JSON Schema of a configuration file, for editors."""

import json

from gateway.config.json_schema import FileKind, json_schema
from gateway.config.shipped import shipped_dir
from gateway.domain.text import Lang


def schema(kind: str, *, lang: Lang) -> int:
    """Print the schema of `site`, `profile` or `rules` files on stdout; exit code 0."""
    made = json_schema(FileKind(kind), lang, shipped_dir())
    print(json.dumps(made, ensure_ascii=False, indent=2))
    return 0
