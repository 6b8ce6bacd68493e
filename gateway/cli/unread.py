"""Why a database cannot be read or written, in words that help."""

from pathlib import Path

from gateway.domain.system_errors import why
from gateway.domain.text import Lang


def unread(path: Path, error: Exception, lang: Lang) -> str:
    """The reason: of SQLite's `unable to open` the one that the system gives for the file."""
    if not isinstance(error, OSError):
        try:
            path.open("rb").close()
        except OSError as refused:
            error = refused
    return why(error).in_(lang)


def is_unread(path: Path) -> bool:
    """Whether the system gives this user nothing of the file: then nothing is known of it."""
    try:
        path.open("rb").close()
    except OSError:
        return True
    return False
