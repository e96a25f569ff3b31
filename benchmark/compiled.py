"""Functions that torch compiles at their first call for each shape: once in a process, on disk for all processes.

Compiled code fuses what lies between convolutions and so saves their trips to memory; it computes the same up to
rounding. Where torch cannot compile, the plain function answers, and one line says so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, TypeVar

import torch
from torch import Tensor

Answer = TypeVar("Answer")

MOST_VARIANTS = 32  # of one function in one task: no method needs as many shapes, so something changes in every step
KEPT_VARIANTS = 24  # shapes kept from task to task; beyond, the process begins anew and reads its cache on disk


class Compiler:
    """What has been compiled in this process, and what could not be."""

    def __init__(self) -> None:
        self.broken = ""  # why nothing can be compiled here, in words
        self._refused: dict[CodeType, str] = {}  # of single functions, in words
        self._made: dict[Any, Any] = {}
        self._shapes: set[Any] = set()
        self._told: set[str] = set()
        self.say: Callable[[str], None] = lambda text: None

    def begin_task(self, say: Callable[[str], None]) -> None:
        """`say` is told, in one line each, what the task computes uncompiled although it was to be compiled."""
        self.say = say
        self._told.clear()
        if len(self._shapes) > KEPT_VARIANTS:
            torch._dynamo.reset()
            self._shapes.clear()

    def compiles(self, function: Callable[..., Any]) -> bool:
        """Whether nothing is known that keeps this function, or what a person wrote of it, from being compiled."""
        return not self.broken and function.__code__ not in self._refused

    def call(self, function: Callable[..., Answer], *args: Any, inner: Callable[..., Any] | None = None) -> Answer:
        """function(*args), compiled if that is possible. `inner` is what a person wrote of it, where it calls that."""
        code = (inner or function).__code__
        if self.compiles(inner or function):
            try:
                return self._compiled(function, code, args)
            except _Uncompiled as error:
                if error.everything:
                    self.broken = str(error)
                else:
                    self._refused[code] = f"{code.co_qualname}: {error}"
        text = f"computing uncompiled, which is slower: {self.broken or self._refused[code]}"
        if text not in self._told:
            self._told.add(text)
            self.say(text)
        return function(*args)

    def _compiled(self, function: Callable[..., Answer], code: CodeType, args: Sequence[Any]) -> Answer:
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # takes seconds to load

        self._shapes.add((code, *_shapes(args)))
        if function not in self._made:
            self._made[function] = _compile(function)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about itself
                answer: Answer = self._made[function](*args)
            return answer
        except FailOnRecompileLimitHit as error:
            raise _Uncompiled("a number in it that is no tensor differs from step to step") from error
        except (TorchDynamoException, RuntimeError) as error:
            if _no_compiler(error):
                raise _Uncompiled("there is no working C++ compiler (g++ or clang++)", everything=True) from error
            if not isinstance(error, TorchDynamoException):
                raise  # what any computation can raise, memory running out above all
            words = str(getattr(error, "inner_exception", None) or error).strip().splitlines()
            raise _Uncompiled(words[0] if words else type(error).__name__) from error


class _Uncompiled(Exception):
    """Why something, or everything, cannot be compiled."""

    def __init__(self, why: str, *, everything: bool = False) -> None:
        super().__init__(why)
        self.everything = everything


COMPILER = Compiler()


def _compile(function: Callable[..., Answer]) -> Callable[..., Answer]:
    import torch._dynamo.config as config
    import torch._inductor.config as inductor

    inductor.compile_threads = torch.get_num_threads()  # as many as the task was given
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is known
    config.recompile_limit = MOST_VARIANTS + KEPT_VARIANTS
    config.accumulated_recompile_limit = 16 * config.recompile_limit
    config.fail_on_recompile_limit_hit = True
    # Shapes are few and known beforehand: a kernel of its own for each. The whole function, or nothing of it.
    return torch.compile(function, dynamic=False, fullgraph=True)


def _shapes(args: Sequence[Any]) -> Sequence[Any]:
    """What a compiled function depends on, near enough: the shapes of tensors, also those in lists and dicts."""
    found: list[Any] = []
    for value in args:
        if isinstance(value, Tensor):
            found.append((tuple(value.shape), value.dtype))
        elif isinstance(value, list | tuple):
            found.extend(_shapes(value))
        elif isinstance(value, dict):
            found.extend(_shapes(list(value.values())))
    return found


def _no_compiler(error: BaseException | None) -> bool:
    """Whether it says that there is no C++ compiler, or that it fails: by the names torch gives to these."""
    while error is not None:
        within = getattr(error, "inner_exception", None)
        if {type(error).__name__, type(within).__name__} & {"InvalidCxxCompiler", "CppCompileError"}:
            return True
        if "InvalidCxxCompiler" in str(error):
            return True
        error = error.__cause__
    return False
