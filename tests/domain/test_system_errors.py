import errno
import os

import pytest

from gateway.domain.system_errors import why
from gateway.domain.text import Text


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EADDRINUSE])
def test_what_the_system_says_often_has_words_in_both_languages(number: int) -> None:
    words = why(OSError(number, os.strerror(number), "/x"))
    assert words.zh != words.en
    assert "[Errno" not in words.zh + words.en


def test_who_does_not_answer_in_time_gives_no_number() -> None:
    assert why(TimeoutError("timed out")) == Text("没有应答", "no answer")


def test_what_has_no_words_is_told_as_the_system_says_it() -> None:
    assert why(OSError(errno.EXDEV, "Invalid cross-device link")) == Text(
        "Invalid cross-device link", "Invalid cross-device link"
    )
    assert why(ValueError("odd")) == Text("odd", "odd")
