"""Any text as LaTeX that sets it as it reads: ASCII alone, without a character that TeX takes for itself."""

from __future__ import annotations

import unicodedata

# fmt: off
_SPECIAL = {
    **{character: rf"\{character}" for character in "#$%&_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "`": "{`}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # at the head of a row these would be read as arguments of the last one's \\
    "±": r"$\pm$", "×": r"$\times$", "÷": r"$\div$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≠": r"$\neq$", "≈": r"$\approx$", "√": r"$\surd$", "→": r"$\to$", "∞": r"$\infty$", "°": r"$^{\circ}$",
    "²": "$^{2}$", "³": "$^{3}$", "†": r"$\dagger$", "‡": r"$\ddagger$", "–": "--", "—": "---", "…": r"\ldots{}",
    "‘": "`", "’": "'", "“": "``", "”": "''", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}",
    "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}",
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", (rf"$\{name}$" for name in (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
        "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega")), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΥΦΨΩµ", (rf"$\{name}$" for name in (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "mu")),
        strict=True)),
}
_ACCENTS = {
    0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: '"', 0x30A: "r",
    0x30B: "H", 0x30C: "v", 0x327: "c",
}
# fmt: on
_LIGATURES = "-',`"  # TeX would join two of them


def escape(text: str) -> str:
    """One line of LaTeX. Characters that its own fonts lack lose their accents or, at the worst, read "[U+4E2D]"."""
    parts: list[str] = []
    before = ""
    for character in unicodedata.normalize("NFC", " ".join(text.split())):
        parts.append("{}" if character == before and character in _LIGATURES else "")
        parts.append(_set(character))
        before = character
    return "".join(parts)


def _set(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    base, *marks = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(marks) == 1 and ord(marks[0]) in _ACCENTS:
        return rf"\{_ACCENTS[ord(marks[0])]}{{{base}}}"
    return _spelled(character)


def _spelled(character: str) -> str:
    """Its compatible ASCII form, with its marks dropped if it is a letter: "ﬁ" → "fi", "ę" → "e"; else its number."""
    parts = unicodedata.normalize("NFKD", character)
    if character.isalpha():
        parts = "".join(part for part in parts if not unicodedata.combining(part))
    if parts and parts.isascii() and parts.isprintable():
        return escape(parts)
    return "" if unicodedata.category(character)[0] == "C" else f"{{[}}U+{ord(character):04X}{{]}}"
