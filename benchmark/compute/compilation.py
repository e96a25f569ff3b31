"""Functions that torch compiles at their first call for each shape: once in a process, on disk for all processes.

Compiled code fuses what lies between convolutions and so saves their trips to memory; it computes the same up to
rounding. Where torch cannot compile, the plain function answers, and one line says so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch

Answer = TypeVar("Answer")

MOST_VARIANTS = 32  # of one function in one task: no method needs as many shapes, so something changes in every step
KEPT_VARIANTS = 48  # kept from task to task; beyond, the process begins anew and reads its cache on disk


class Compiler:
    """What has been compiled in this process, and what could not be."""

    def __init__(self) -> None:
        self.broken = ""  # why nothing can be compiled here, in words
        self._refused: dict[object, str] = {}  # of single functions, in words
        self._changing: dict[object, str] = {}  # of those that this task gave up
        self._made: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._variants: dict[Callable[..., Any], int] = {}  # compiled in this task
        self._kept = 0  # variants in the process
        self.uncompiled: list[str] = []  # what this task computes so although it was to be compiled, in words
        self.say: Callable[[str], None] = lambda text: None

    def begin_task(self, say: Callable[[str], None]) -> None:
        """`say` is told, in one line each, what the task computes uncompiled although it was to be compiled."""
        self.say = say
        self.uncompiled = []
        self._changing.clear()
        self._variants.clear()
        if self._kept > KEPT_VARIANTS:
            torch._dynamo.reset()
            self._kept = 0

    def recall(self, uncompiled: Sequence[str]) -> None:
        """Add what the task, which goes on, computed uncompiled before: it has been told of that."""
        self.uncompiled = list(dict.fromkeys([*uncompiled, *self.uncompiled]))

    def compiles(self, function: Callable[..., Any]) -> bool:
        """Whether nothing is known that keeps this function, or what a person wrote of it, from being compiled."""
        return not self.broken and not self._refusal(function)

    def _refusal(self, function: Callable[..., Any]) -> str:
        written = _written(function)
        return self._refused.get(written) or self._changing.get(written, "")

    def call(
        self, function: Callable[..., Any], *args: Any,
        inner: Callable[..., Any] | None = None, then: Callable[[Any], Any] | None = None,
    ) -> Any:  # fmt: skip
        """then(function(*args)), the function being compiled if that is possible, and with it its derivative.

        `inner` is what a person wrote of it, where it calls that; `then` takes gradients of what it answers.
        """
        blamed = inner or function
        if self.compiles(blamed):
            try:
                return self._compiled(function, args, then)
            except _Uncompiled as error:
                if error.everything:
                    self.broken = str(error)
                else:
                    refused = self._changing if error.changing else self._refused
                    refused[_written(blamed)] = f"{_name(blamed)}: {error}"
        why = self.broken or self._refusal(blamed)
        if why not in self.uncompiled:
            self.uncompiled.append(why)
            self.say(f"computing uncompiled, which is slower: {why}")
        answer = function(*args)
        return then(answer) if then else answer

    def _compiled(
        self, function: Callable[..., Any], args: Sequence[Any], then: Callable[[Any], Any] | None, tries: int = 2
    ) -> Any:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds to load

        if self._variants.get(function, 0) > MOST_VARIANTS:
            raise _Uncompiled("a number in it that is no tensor differs from step to step", changing=True)
        if function not in self._made:
            self._made[function] = _compile(function)
        before = _graphs()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about itself
                answer = self._made[function](*args)
                if then:
                    answer = then(answer)
        except (TorchDynamoException, RuntimeError) as error:
            names = _names(error)
            if "InvalidCxxCompiler" in names or "InvalidCxxCompiler" in str(error):
                raise _Uncompiled("there is no working C++ compiler (g++ or clang++)", everything=True) from error
            if "CppCompileError" in names and tries > 1:  # it may have been killed: a Ctrl-C reaches it, too
                return self._compiled(function, args, then, tries - 1)
            if "CppCompileError" in names:
                raise _Uncompiled("the C++ compiler (g++ or clang++) fails", everything=not self._kept) from error
            if not isinstance(error, TorchDynamoException):
                raise  # what any computation can raise, memory running out above all
            words = str(getattr(error, "inner_exception", None) or error).strip().splitlines()
            raise _Uncompiled(words[0] if words else type(error).__name__) from error
        made = _graphs() - before
        self._variants[function] = self._variants.get(function, 0) + made
        self._kept += made
        return answer


class _Uncompiled(Exception):
    """Why something, or everything, cannot be compiled; `changing` if another task may."""

    def __init__(self, why: str, *, everything: bool = False, changing: bool = False) -> None:
        super().__init__(why)
        self.everything = everything
        self.changing = changing


COMPILER = Compiler()


def _compile(function: Callable[..., Answer]) -> Callable[..., Answer]:
    import torch._dynamo.config as config
    import torch._inductor.config as inductor

    inductor.compile_threads = torch.get_num_threads()  # as many as the task was given
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is known
    config.recompile_limit = config.accumulated_recompile_limit = 2**14  # never met: `_compiled` counts, by the task
    config.fail_on_recompile_limit_hit = True
    if not torch.cuda.is_initialized():  # passes on a CPU wait for memory: what is cheap is computed again, not kept
        inductor.realize_reads_threshold, inductor.realize_opcount_threshold = 64, 200
    # Shapes are few and known beforehand: a kernel of its own for each. The whole function, or nothing of it.
    return torch.compile(function, dynamic=False, fullgraph=True)


def _graphs() -> int:
    """How many variants of functions have been compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _written(function: Callable[..., Any]) -> object:
    """What stands for a function as a person wrote it: closures are made anew in every step, their code is not."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__code__", None) or type(function)


def _name(function: Callable[..., Any]) -> str:
    written = _written(function)
    return str(getattr(written, "co_qualname", None) or getattr(written, "__qualname__", written))


def _names(error: BaseException | None) -> set[str]:
    """The names of the exception's class and of those that it was made from."""
    names: set[str] = set()
    while error is not None:
        names |= {type(error).__name__, type(getattr(error, "inner_exception", None)).__name__}
        error = error.__cause__
    return names
