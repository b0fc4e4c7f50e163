"""A1111's features that are not here. Switched on, they are refused with a sentence; never silently ignored."""

from __future__ import annotations

from api.errors import NotAvailable
from api.schemas import GenerationPayload, Img2ImgPayload, Txt2ImgPayload

NONE = ("", "none")
SAME_CHECKPOINT = "Use same checkpoint"


def refuse(payload: GenerationPayload) -> None:
    """Raises NotAvailable naming the first field that switches on something we do not have."""
    for field, is_on, what in _switches(payload):
        if is_on:
            raise NotAvailable(
                f"{field}: {what} not available yet.", "Leave this field out or switch it off.", field
            )


def _switches(payload: GenerationPayload) -> list[tuple[str, bool, str]]:
    switches = [
        ("restore_faces", bool(payload.restore_faces), "face restoration is"),
        ("tiling", bool(payload.tiling), "tileable pictures are"),
        ("s_min_uncond", (payload.s_min_uncond or 0) > 0, "skipping the negative prompt at low noise is"),
        ("refiner_checkpoint", _is_named(payload.refiner_checkpoint), "the refiner is"),
        ("script_name", _is_named(payload.script_name), f"the script {payload.script_name!r} is"),
        ("alwayson_scripts", bool(payload.alwayson_scripts), f"{_scripts(payload)} are"),
    ]
    if isinstance(payload, Txt2ImgPayload):
        other = (
            bool(payload.enable_hr)
            and _is_named(payload.hr_checkpoint_name)
            and (payload.hr_checkpoint_name != SAME_CHECKPOINT)
        )
        switches.append(("hr_checkpoint_name", other, "another checkpoint for the second pass is"))
    if isinstance(payload, Img2ImgPayload):
        switches.append(("latent_mask", bool(payload.latent_mask), "latent masks are"))
    return switches


def _is_named(name: str | None) -> bool:
    return (name or "").strip().lower() not in NONE


def _scripts(payload: GenerationPayload) -> str:
    names = ", ".join(repr(name) for name in list(payload.alwayson_scripts or {})[:5])
    return f"the extensions {names[:200]}"
