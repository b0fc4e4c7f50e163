"""What a picture's metadata says about how to make it again, in the words of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from generation.errors import UserError
from generation.request import GenerationRequest, Img2Img, Inpaint, make_request

_PICTURE = b"-"  # stands for pictures while the fields beside them are checked


@dataclass(frozen=True, slots=True)
class PastedRequest:
    """A request as far as metadata carry it.

    `fields` are valid for `make_request`. `img2img` holds fields of Img2Img without its pictures, with
    "inpaint" a mapping without its mask; empty for pictures made from text. `not_carried_over` are
    sentences about everything that was there but could not be taken over.
    `model_name` and `model_hash` are what the metadata say; `fields["model"]` is the hash, or the name.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)  # Any: the values of any field
    img2img: Mapping[str, Any] = field(default_factory=dict)
    styles: tuple[str, ...] = ()
    model_name: str = ""
    model_hash: str = ""
    source: str = ""  # the program that wrote the metadata, as far as known
    not_carried_over: tuple[str, ...] = ()

    def request(self) -> GenerationRequest:
        """The request these fields make, without init images."""
        return make_request(**self.fields)


class PasteBuilder:
    """Collects fields one by one; a value that is not valid becomes a sentence instead."""

    def __init__(self, source: str = "") -> None:
        self.source = source
        self.fields: dict[str, Any] = {}
        self.sampling: dict[str, Any] = {}
        self.img2img: dict[str, Any] = {}
        self.inpaint: dict[str, Any] = {}
        self.styles: tuple[str, ...] = ()
        self.model_name = ""
        self.model_hash = ""
        self._sentences: dict[str, None] = {}

    def say(self, sentence: str) -> None:
        """Note something that could not be carried over; saying it twice counts once."""
        self._sentences[sentence] = None

    def put(self, label: str, /, **values: Any) -> None:
        """Take request fields over if they are valid together. `label` names them for people."""
        try:
            make_request(**values)
        except UserError as error:
            self.say(f"{label} is not carried over: {error.message}")
        else:
            self.fields.update(values)

    def put_sampling(self, label: str, name: str, value: Any) -> None:
        """Take one of SamplerOptions over if it is valid."""
        try:
            make_request(sampling={name: value})
        except UserError as error:
            self.say(f"{label} is not carried over: {error.message}")
        else:
            self.sampling[name] = value

    def put_img2img(self, label: str, /, **values: Any) -> None:
        """Take fields of Img2Img over if they are valid."""
        try:
            Img2Img(init_images=(_PICTURE,), **values)
        except ValidationError as error:
            self.say(f"{label} is not carried over: {error.errors()[0]['msg']}.")
        else:
            self.img2img.update(values)

    def put_hires(self, label: str, /, **values: Any) -> None:
        """Take fields of Hires over if they are valid together with those before."""
        size = {name: self.fields[name] for name in ("width", "height") if name in self.fields}
        self.put(label, **size, hires={**self.fields.get("hires", {}), **values})

    def put_inpaint(self, label: str, /, **values: Any) -> None:
        """Take fields of Inpaint over if they are valid."""
        try:
            Inpaint(mask=_PICTURE, **values)
        except ValidationError as error:
            self.say(f"{label} is not carried over: {error.errors()[0]['msg']}.")
        else:
            self.inpaint.update(values)

    def put_number(self, label: str, text: object, name: str) -> None:
        """Take a number field over from its text."""
        value = parse_number(text)
        if value is None:
            self.say(f"{label} is not carried over: {short(text)} is not a number.")
        else:
            self.put(label, **{name: value})

    def put_size(self, width: object, height: object) -> None:
        """Take a size in pixels over, rounded down to multiples of 8."""
        numbers = parse_number(width), parse_number(height)
        if not (isinstance(numbers[0], int) and isinstance(numbers[1], int)):
            self.say(f"Size is not carried over: {short(width)} x {short(height)} is not a size.")
            return
        rounded = numbers[0] // 8 * 8, numbers[1] // 8 * 8
        if rounded != numbers:
            self.say(f"Size {numbers[0]}x{numbers[1]} became {rounded[0]}x{rounded[1]}: multiples of 8 only.")
        self.put("Size", width=rounded[0], height=rounded[1])

    def put_model(self, name: str, model_hash: str = "") -> None:
        """Remember the model; its hash says more than its name."""
        self.model_name, self.model_hash = name, model_hash
        if model_hash or name:
            self.put("Model", model=model_hash or name)

    def build(self) -> PastedRequest:
        """Everything collected so far."""
        fields = {**self.fields, **({"sampling": dict(self.sampling)} if self.sampling else {})}
        img2img = {**self.img2img, **({"inpaint": dict(self.inpaint)} if self.inpaint else {})}
        return PastedRequest(
            fields, img2img, self.styles, self.model_name, self.model_hash, self.source, tuple(self._sentences)
        )


def parse_number(text: object) -> int | float | None:
    """The number a text stands for, int if it is whole; None if it is none, or not finite."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        return int(text) if isinstance(text, str | int) else _whole(text)
    except ValueError:
        pass
    try:
        return _whole(float(text))
    except ValueError:
        return None


def _whole(number: float) -> int | float | None:
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return int(number) if number.is_integer() else number


def short(value: object) -> str:
    """A value for a sentence: quoted, at most about 80 characters."""
    text = str(value)
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
