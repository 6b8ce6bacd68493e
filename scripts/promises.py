"""What the long runs share: how they say a figure, a promise kept or broken, and where they are."""

import argparse
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def say(what: str, value: object) -> None:
    print(f"{what:<58} {value}", flush=True)


def check(is_kept: bool, promise: str, broken: list[str]) -> None:
    say(promise, "yes" if is_kept else "NO")
    if not is_kept:
        broken.append(promise)


def seed_of(options: argparse.Namespace) -> int:
    """The seed that was asked for, or one that is drawn; said, so that it can be asked for."""
    number = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    say("seed", number)
    return number


def told_every(step: int, of: int) -> Callable[[], None]:
    """Call it once each: it says at every `step` how far it is, and how long one takes."""
    began, number = time.monotonic(), 0

    def tell() -> None:
        nonlocal number
        number += 1
        if number % step == 0:
            each = (time.monotonic() - began) / number
            say("kills so far", f"{number} of {of}, {each:.2f} s each")

    return tell


def by_examples(
    machine: type[RuleBasedStateMachine], examples: int, steps: int, options: argparse.Namespace
) -> list[str]:
    """Play a machine in so many examples of so many steps; how it broke, with the steps to it.

    Each process has a seed of its own: the one that is said, the next one ...
    """
    first, began = seed_of(options), time.monotonic()
    share = -(-examples // options.processes)
    with ProcessPoolExecutor(options.processes) as pool:
        played = [
            pool.submit(_play, machine, first + number, share, steps)
            for number in range(options.processes)
        ]
        broken = [what for each in played for what in each.result()]
    taken = f"{share * options.processes:,} in {time.monotonic() - began:.0f} s"
    say(f"examples of {steps} steps", taken)
    return broken


def _play(
    machine: type[RuleBasedStateMachine], number: int, examples: int, steps: int
) -> list[str]:
    try:
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None,
                database=None, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
    except (AssertionError, ExceptionGroup) as error:  # a group: it broke in more than one way
        return [f"seed {number}: " + "".join(traceback.format_exception(error))]
    return []


def run_tests(
    options: argparse.Namespace, *words: str, **counts: str
) -> subprocess.CompletedProcess[str]:
    """Run tests side by side, with what they take from the environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(options.processes), *words]
    environment = {**os.environ, **counts}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def by_tests(path: str, name: str, options: argparse.Namespace, **counts: int) -> list[str]:
    """Run tests that take their count from the environment; what they say when one fails."""
    ((variable, count),) = counts.items()
    began = time.monotonic()
    done = run_tests(options, "-x", path, "-k", name, **{variable: str(count)})
    say(f"{path}, {variable.lower()}", f"{count:,} in {time.monotonic() - began:.0f} s")
    lines = done.stdout.strip().splitlines()
    say("pytest says", lines[-1] if lines else done.stderr[-300:])
    return [] if done.returncode == 0 else ["\n".join(lines[-15:])]
