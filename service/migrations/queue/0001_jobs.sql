-- Jobs that are not done yet, so that they survive the end of the program, however sudden.
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY,
    place INTEGER NOT NULL,             -- lowest first; gaps are fine
    is_running INTEGER NOT NULL DEFAULT 0,
    held TEXT NOT NULL DEFAULT '',      -- why it waits until somebody lets it go on; '' = it does not
    submission TEXT NOT NULL            -- JSON, with uploaded pictures in base64
);
CREATE INDEX jobs_by_place ON jobs (place);

CREATE TABLE state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
