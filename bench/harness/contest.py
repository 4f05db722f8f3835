"""What is compared: cases, the contenders in them, and the goals they are held to.

Everything here is a description. runner.py carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

from harness.testbed import Testbed, differences

if TYPE_CHECKING:
    from harness.runner import Results

# What the {words} in a command stand for: {image}, {target}, {size}, ...
Places = dict[str, object]


@dataclass(frozen=True)
class Contender:
    """One command line. It must leave its result on the medium: a program that does not flush
    gets `&& sync FILE` in its command, inside the timed region."""

    name: str
    command: str  # for sh; {words} are filled in from the case's places
    results: tuple[str, ...] = ("target",)  # the places that must hold the image afterwards
    needs: tuple[str, ...] = ()  # programs; a contender that lacks one is listed as such
    is_limit: bool = False  # fio: shows what the machine can do, its output is not an image
    # Takes the run's standard output and returns the seconds it reports, for programs whose own
    # clock is stricter than ours (fio needs half a second to start).
    own_clock: Callable[[str], float] | None = None


@dataclass(frozen=True)
class Goal:
    """A promise. `judge` returns (what was measured, kept?), or None when a number is missing."""

    promise: str
    judge: Callable[["Results"], tuple[str, bool] | None]


def nothing(_places: Places, _first_round: bool) -> None:
    """For cases whose runs need no preparation."""


def equals_image(places: Places, result: str) -> str:
    """The check of most cases: the result begins with the image's bytes."""
    return differences(places["image"], places[result])


@dataclass
class Case:
    """Contenders that do the same job on the same bytes.

    setup     makes what the case needs and returns its places; the testbed removes it afterwards
    prepare   brings the places into the same state before every run, outside the timed region
    check     after a contender's first run, for each of its results: "" or what is wrong
    """

    name: str
    title: str
    setup: Callable[[Testbed], Places]
    contenders: list[Contender]
    goals: list[Goal] = field(default_factory=list)
    cold: bool = True  # the page cache is dropped before every run
    prepare: Callable[[Places, bool], None] = nothing
    check: Callable[[Places, str], str] = equals_image
