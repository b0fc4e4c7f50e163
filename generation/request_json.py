"""The complete request as JSON, for our own chunk in picture files: everything but the pictures themselves."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic.main import IncEx

from generation.errors import InvalidRequest
from generation.pasted_request import PasteBuilder, PastedRequest, short
from generation.request import GenerationRequest
from generation.version import INFOTEXT_VERSION

MAX_JSON = 4_000_000  # characters


def request_to_json(request: GenerationRequest, model_name: str = "", model_hash: str = "") -> str:
    """JSON of the request; init images and mask are replaced by `sha256:…` of their bytes."""
    inpaint: IncEx = {"mask": True}
    img2img: IncEx = {"init_images": True, "inpaint": inpaint}
    fields: dict[str, Any] = request.model_dump(mode="json", exclude={"img2img": img2img})  # Any: JSON values
    if request.img2img:
        fields["img2img"]["init_images"] = [_digest(picture) for picture in request.img2img.init_images]
        if request.img2img.inpaint:
            fields["img2img"]["inpaint"]["mask"] = _digest(request.img2img.inpaint.mask)
    about = {"version": INFOTEXT_VERSION, "model_name": model_name, "model_hash": model_hash}
    return json.dumps({**about, "request": fields}, ensure_ascii=False, separators=(",", ":"))


def request_from_json(text: str) -> PastedRequest:
    """The request in our JSON, without its pictures. Raises InvalidRequest if it is not ours."""
    try:
        whole = json.loads(text) if len(text) <= MAX_JSON else None
    except (ValueError, RecursionError):
        whole = None
    fields = whole.get("request") if isinstance(whole, dict) else None
    if not isinstance(whole, dict) or not isinstance(fields, dict):
        raise InvalidRequest(f"This is not a request of ours: {short(text)}.", "Use the infotext instead.")
    builder = PasteBuilder("Easel")
    img2img = fields.pop("img2img", None)
    for name, value in fields.items():
        if name not in ("seed_resize_width", "seed_resize_height"):
            builder.put(str(name), **{str(name): value})
    resize = {key: fields[key] for key in ("seed_resize_width", "seed_resize_height") if key in fields}
    builder.put("Seed resize", **resize)
    builder.sampling = builder.fields.pop("sampling", {})
    builder.put_model(str(whole.get("model_name") or ""), str(whole.get("model_hash") or ""))
    if isinstance(img2img, dict):
        _put_img2img(builder, img2img)
    return builder.build()


def _put_img2img(builder: PasteBuilder, img2img: dict[str, Any]) -> None:
    builder.say("The init image is not part of the file: choose it again.")
    inpaint = img2img.pop("inpaint", None)
    for name, value in img2img.items():
        if name != "init_images":
            builder.put_img2img(str(name), **{str(name): value})
    if isinstance(inpaint, dict):
        builder.say("The mask is not part of the file: draw it again.")
        for name, value in inpaint.items():
            if name != "mask":
                builder.put_inpaint(str(name), **{str(name): value})


def _digest(picture: bytes) -> str:
    return f"sha256:{hashlib.sha256(picture).hexdigest()}"
