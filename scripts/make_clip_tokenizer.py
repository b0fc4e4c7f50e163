"""Makes engine/configs/clip/merges.txt.gz: the byte pairs of CLIP's tokenizer.

Source is `bpe_simple_vocab_16e6.txt.gz` of the MIT-licensed PyPI package open_clip_torch. Of its 262,000 lines
CLIP uses the first 48,894. Usage: pip download --no-deps open_clip_torch, then
`python scripts/make_clip_tokenizer.py open_clip_torch-*.whl`.
"""

import gzip
import sys
import zipfile
from pathlib import Path

SOURCE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
MERGES = 49_152 - 256 - 2
TARGET = Path(__file__).resolve().parent.parent / "engine/configs/clip/merges.txt.gz"


def main(wheel: str) -> None:
    """Writes the file; the same wheel always gives the same bytes."""
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read(SOURCE)).decode().splitlines()
    text = "\n".join(["#version: 0.2", *lines[1 : 1 + MERGES], ""])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{TARGET}: {MERGES:,} merges")


if __name__ == "__main__":
    main(sys.argv[1])
