"""Functions that torch compiles at their first call for each shape: once in a process, on disk for all processes.

Compiled code fuses what lies between convolutions and so saves their trips to memory; it computes the same up to
rounding. Where torch cannot compile, the plain function answers, and one line says so.
"""

from __future__ import annotations

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
        self._made: dict[Any, Any] = {}
        self._refused: set[CodeType] = set()
        self._shapes: set[Any] = set()
        self._said: list[str] = []
        self.say: Callable[[str], None] = lambda text: None

    def begin_task(self, say: Callable[[str], None]) -> None:
        """`say` is told, in one line each, what is computed uncompiled from now on."""
        self.say = say
        for text in self._said:
            say(text)
        if len(self._shapes) > KEPT_VARIANTS:
            torch._dynamo.reset()
            self._shapes.clear()

    def compiles(self, function: Callable[..., Any]) -> bool:
        """Whether nothing is known that keeps this function, or what a person wrote of it, from being compiled."""
        return not self.broken and function.__code__ not in self._refused

    def call(self, function: Callable[..., Answer], *args: Any, inner: Callable[..., Any] | None = None) -> Answer:
        """function(*args), compiled if that is possible. `inner` is what a person wrote of it, where it calls that."""
        code = (inner or function).__code__
        if not self.compiles(inner or function):
            return function(*args)
        from torch._dynamo.exc import TorchDynamoException

        self._shapes.add((code, *_shapes(args)))
        if function not in self._made:
            self._made[function] = _compiled(function)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about itself
                answer: Answer = self._made[function](*args)
            return answer
        except (TorchDynamoException, RuntimeError) as error:
            if not isinstance(error, TorchDynamoException) and not _no_compiler(error):
                raise
            self._give_up(code, error)
            return function(*args)

    def _give_up(self, code: CodeType, error: BaseException) -> None:
        if _no_compiler(error):
            self.broken = "there is no working C++ compiler (g++ or clang++)"
            text = f"computing uncompiled, which is slower: {self.broken}"
        else:
            self._refused.add(code)
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            text = f"{code.co_qualname} runs uncompiled, which is slower: {reason}"
        self._said.append(text)
        self.say(text)


COMPILER = Compiler()


def _compiled(function: Callable[..., Answer]) -> Callable[..., Answer]:
    import torch._dynamo.config as config

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
