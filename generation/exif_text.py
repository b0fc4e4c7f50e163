"""Texts in EXIF: the UserComment with the infotext, and what other programs put into plain tags."""

from __future__ import annotations

import re
from collections.abc import Mapping

from PIL import Image
from PIL.ExifTags import IFD, Base

from generation.errors import InvalidRequest

COMMENT_KEY = "UserComment"
MAX_EXIF = 65_000  # bytes; a JPEG segment holds 65,533
_UNICODE, _ASCII, _JIS, _UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8
_OURS = b"easel\0"
_NAMED_TAGS = {Base.ImageDescription: "ImageDescription", Base.Make: "Make", Base.Model: "Camera model",
               Base.Software: "Software", Base.Artist: "Artist", Base.XPComment: "XPComment"}  # fmt: skip
_KEYED = re.compile(r"(\w+):(?=\s*\{)")  # ComfyUI's "prompt:{…}" and "workflow:{…}" in Make and Model


def pack(infotext: str, request_json: str | None = None) -> bytes:
    """EXIF with the infotext as UserComment and our JSON as MakerNote if it fits.

    Raises InvalidRequest if the infotext alone does not fit.
    """
    exif = Image.Exif()
    details = exif.get_ifd(IFD.Exif)
    comment = _UNICODE + infotext.encode("utf-16-be")
    if len(comment) > MAX_EXIF:
        message = f"The infotext is too long for EXIF: {len(comment)} bytes, at most {MAX_EXIF}."
        raise InvalidRequest(message, "Save as PNG, or shorten the prompt.", "prompt")
    details[Base.UserComment] = comment
    note = b"" if request_json is None else _OURS + request_json.encode()
    if note and len(comment) + len(note) <= MAX_EXIF:
        details[Base.MakerNote] = note
    return exif.tobytes()


def unpack(exif: Image.Exif) -> dict[str, str]:
    """Texts by key: UserComment, ours as "easel", plain tags by name, ComfyUI's by the key inside."""
    texts: dict[str, str] = {}
    for tag, name in _NAMED_TAGS.items():
        value = exif.get(tag)
        text = _decode_xp(value) if isinstance(value, bytes) else value
        if isinstance(text, str) and text.strip("\0 "):
            text = text.rstrip("\0")
            keyed = _KEYED.match(text)
            texts[keyed[1] if keyed else name] = text[keyed.end() :].strip() if keyed else text
    details: Mapping[int, object] = exif.get_ifd(IFD.Exif)
    if comment := decode_comment(details.get(Base.UserComment) or exif.get(Base.UserComment)):
        texts[COMMENT_KEY] = comment
    note = details.get(Base.MakerNote)
    if isinstance(note, bytes) and note.startswith(_OURS):
        texts["easel"] = note[len(_OURS) :].decode("utf-8", "replace")
    return texts


def decode_comment(raw: object) -> str:
    """The text of a UserComment: its first eight bytes name the encoding. UTF-16 in either byte order."""
    if isinstance(raw, str):
        return raw.rstrip("\0")
    if not isinstance(raw, bytes):
        return ""
    code, body = raw[:8], raw[8:]
    if code == _UNICODE:
        return body.decode(_byte_order(body), "replace").rstrip("\0")
    if code == _JIS:
        return body.decode("shift_jis", "replace").rstrip("\0")
    plain = body if code in (_ASCII, _UNDEFINED) else raw
    return plain.decode("utf-8", "ignore").rstrip("\0")


def _byte_order(body: bytes) -> str:
    """Big-endian by convention; little-endian if that puts the zero bytes of Latin letters where they belong."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-16-le" if body[1::2].count(0) > body[::2].count(0) else "utf-16-be"


def _decode_xp(raw: bytes) -> str:
    return raw.decode("utf-16-le", "replace")
