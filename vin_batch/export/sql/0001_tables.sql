-- Tables of the register's readings. Names are unqualified: `vin-batch export --init` runs
-- this in the chosen schema. Columns follow the contract (vin_batch/export/contract.py).

CREATE FUNCTION is_vin(text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN $1 ~ '^[0-9A-HJ-NPR-Z]{17}$';

-- What the machine says now: one row per card, the newest reading.
CREATE TABLE machine_readings (
    card_id           text COLLATE "C" PRIMARY KEY CHECK (card_id <> ''),
    status            text NOT NULL CHECK (status IN ('accepted', 'review', 'unreadable', 'failed')),
    vin               text CHECK (is_vin(vin)),
    confidence        double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    check_digit       text NOT NULL CHECK (check_digit IN ('valid', 'invalid', 'not_applicable')),
    wmi               text CHECK (wmi = left(vin, 3)),
    maker             text,
    country           text,
    model_years       smallint[] NOT NULL,
    raw_vin           text NOT NULL CHECK (length(raw_vin) = 17),
    changed           smallint[] NOT NULL,
    reasons           text[] NOT NULL,
    char_probs        real[] NOT NULL CHECK (cardinality(char_probs) = 17),
    second_chars      text NOT NULL CHECK (length(second_chars) = 17),
    second_probs      real[] NOT NULL CHECK (cardinality(second_probs) = 17),
    issues            text[] NOT NULL,
    alternative_vins  text[] NOT NULL,
    alternative_probs double precision[] NOT NULL,
    read_at           timestamptz NOT NULL,
    model_id          text NOT NULL,
    run_id            text NOT NULL,
    shard             integer NOT NULL CHECK (shard >= 0),
    CHECK ((vin IS NOT NULL) = (status IN ('accepted', 'review'))),
    CHECK (cardinality(alternative_vins) = cardinality(alternative_probs))
);
COMMENT ON TABLE machine_readings IS 'Newest reading of every card by the machine; people''s corrections are in corrections, both together in the view readings';

-- Readings that a newer one superseded. Nothing is ever removed from here.
CREATE TABLE machine_readings_history (
    LIKE machine_readings,
    superseded_by text NOT NULL,
    superseded_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX machine_readings_history_key
    ON machine_readings_history (card_id, run_id, read_at);
COMMENT ON COLUMN machine_readings_history.superseded_by IS 'run_id of the reading that took its place';

-- What people said, append-only. The last signature of a card decides.
CREATE TABLE corrections (
    correction_id text PRIMARY KEY DEFAULT replace(gen_random_uuid()::text, '-', ''),
    card_id       text COLLATE "C" NOT NULL CHECK (card_id <> ''),
    vin           text CHECK (is_vin(vin)),
    check_digit   text CHECK (check_digit IN ('valid', 'invalid', 'not_applicable')),
    wmi           text,
    maker         text,
    country       text,
    model_years   smallint[],
    reviewer      text NOT NULL CHECK (reviewer <> ''),
    signed_at     timestamptz NOT NULL DEFAULT now(),
    note          text,
    imported_at   timestamptz NOT NULL DEFAULT now(),
    source_name   text,
    source_sha256 text
);
CREATE INDEX corrections_by_card
    ON corrections (card_id, signed_at DESC, reviewer COLLATE "C" DESC, correction_id COLLATE "C" DESC);
COMMENT ON COLUMN corrections.vin IS 'NULL: the person cannot read the card either';

-- Runs, and which of their shards are in: the proof of what was loaded, and what makes a
-- repeated load change nothing.
CREATE TABLE runs (
    run_id          text PRIMARY KEY,
    model_id        text NOT NULL,
    model_sha256    text NOT NULL,
    cards           bigint NOT NULL,
    shards          integer NOT NULL,
    created_at      timestamptz NOT NULL,
    package_version text NOT NULL,
    archive         text NOT NULL,
    first_loaded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE loads (
    run_id          text NOT NULL REFERENCES runs,
    shard           integer NOT NULL,
    readings_sha256 text NOT NULL,
    cards           integer NOT NULL,
    read_at         timestamptz NOT NULL,
    loaded_at       timestamptz NOT NULL DEFAULT now(),
    loaded_by       text NOT NULL DEFAULT session_user,
    PRIMARY KEY (run_id, shard)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING HINT = 'A new correction with a later signed_at takes the place of an older one.';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON corrections
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON machine_readings_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
