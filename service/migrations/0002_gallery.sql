-- What people do with their pictures.
ALTER TABLE images ADD COLUMN is_favourite INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN trashed REAL;             -- seconds since the epoch; NULL = not in the trash
ALTER TABLE images ADD COLUMN trashed_from TEXT;        -- the path before, as in `path`

CREATE TABLE tags (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (image_id, tag)
) WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (tag);
CREATE INDEX images_by_created ON images (created, id);
