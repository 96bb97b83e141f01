-- Example of roles with no more rights than they need. Run it once as the owner of the
-- database, after `vin-batch export --init`; change the names and the schema as you like.
-- Give the passwords with \password in psql, so that they are in no file and no log.

CREATE ROLE vin_batch_loader LOGIN;
CREATE ROLE vin_batch_reviewer NOLOGIN;
CREATE ROLE vin_batch_reader NOLOGIN;

GRANT USAGE ON SCHEMA vin_batch TO vin_batch_loader, vin_batch_reviewer, vin_batch_reader;

-- The nightly job: adds and supersedes readings, adds corrections. It cannot delete a
-- reading, change history or a correction, or change the tables themselves.
GRANT SELECT, INSERT, UPDATE ON vin_batch.machine_readings, vin_batch.loads TO vin_batch_loader;
GRANT SELECT, INSERT ON vin_batch.machine_readings_history, vin_batch.corrections, vin_batch.runs
    TO vin_batch_loader;
GRANT SELECT ON vin_batch.schema_migrations, vin_batch.readings, vin_batch.accepted_readings,
    vin_batch.review_queue TO vin_batch_loader;
DO $$ BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO vin_batch_loader', current_database());
END $$;

-- An application in which people review cards: reads all, adds corrections.
GRANT SELECT ON vin_batch.readings, vin_batch.accepted_readings, vin_batch.review_queue,
    vin_batch.corrections TO vin_batch_reviewer;
GRANT INSERT (card_id, vin, reviewer, signed_at, note) ON vin_batch.corrections
    TO vin_batch_reviewer;

-- Everyone else.
GRANT SELECT ON vin_batch.readings, vin_batch.accepted_readings, vin_batch.review_queue
    TO vin_batch_reader;
