-- One row per picture. Everything but created, owner and favourite could be read again from the PNG.
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created REAL NOT NULL,              -- seconds since the epoch
    job_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    path TEXT NOT NULL,                 -- below the outputs folder with forward slashes, else absolute
    seed TEXT NOT NULL,                 -- text: seeds may be wider than SQLite's integers in other tools
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    negative_prompt TEXT NOT NULL,
    model_name TEXT NOT NULL,
    model_hash TEXT NOT NULL,           -- sha256 of the weights; '' if not known
    infotext TEXT NOT NULL,
    request TEXT NOT NULL,              -- JSON; pictures in it are replaced by "sha256:…"; '' if not known
    sha256 TEXT NOT NULL,               -- of the file as it was written
    is_partial INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX images_by_owner ON images (owner, id);
CREATE INDEX images_by_job ON images (job_id);
CREATE INDEX images_by_sha256 ON images (sha256);
CREATE INDEX images_by_path ON images (path);

-- Hashes of big files, valid as long as size and time stay the same.
CREATE TABLE file_hashes (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,          -- nanoseconds since the epoch
    sha256 TEXT NOT NULL
);
