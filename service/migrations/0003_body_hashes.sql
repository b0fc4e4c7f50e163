-- sha256 of what follows the header of a safetensors file; '' if not computed. LoRAs are known by it.
ALTER TABLE file_hashes ADD COLUMN body_sha256 TEXT NOT NULL DEFAULT '';
