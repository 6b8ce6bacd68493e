"""Why a database cannot be read or written, in words that help."""

from pathlib import Path

from gateway.domain.system_errors import why
from gateway.domain.text import Lang


def unread(path: Path, error: Exception, lang: Lang) -> str:
    """The reason: of SQLite's `unable to open` the one that the system gives for the file."""
    refused = None if isinstance(error, OSError) else _refusal(path)
    return why(refused or error).in_(lang)


def is_unread(path: Path) -> bool:
    """Whether the system gives this user nothing of the file: then nothing is known of it."""
    return _refusal(path) is not None


def _refusal(path: Path) -> OSError | None:
    """What the system says when the file is opened; None when it may be read."""
    try:
        path.open("rb").close()
    except OSError as refused:
        return refused
    return None
