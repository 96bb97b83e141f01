-- What the register should read: the contract, people's words before the machine's.

CREATE VIEW deciding_corrections AS
SELECT card_id, vin, check_digit, wmi, maker, country, model_years, reviewer, signed_at, note
FROM (
    SELECT c.*, row_number() OVER (
        PARTITION BY card_id
        ORDER BY signed_at DESC, reviewer COLLATE "C" DESC, correction_id COLLATE "C" DESC
    ) AS place
    FROM corrections c
) AS ranked
WHERE place = 1;

CREATE VIEW readings AS
SELECT
    m.card_id,
    CASE WHEN c.card_id IS NULL THEN m.status
         WHEN c.vin IS NULL THEN 'unreadable'
         ELSE 'confirmed' END AS status,
    CASE WHEN c.card_id IS NULL THEN m.vin ELSE c.vin END AS vin,
    CASE WHEN c.card_id IS NULL THEN 'machine' ELSE 'person' END AS source,
    m.confidence,
    CASE WHEN c.card_id IS NULL THEN m.check_digit
         ELSE coalesce(c.check_digit, 'not_applicable') END AS check_digit,
    CASE WHEN c.card_id IS NULL THEN m.wmi ELSE coalesce(c.wmi, substr(c.vin, 1, 3)) END AS wmi,
    CASE WHEN c.card_id IS NULL THEN m.maker ELSE c.maker END AS maker,
    CASE WHEN c.card_id IS NULL THEN m.country ELSE c.country END AS country,
    CASE WHEN c.card_id IS NULL THEN m.model_years
         ELSE coalesce(c.model_years, '{}') END AS model_years,
    m.status AS machine_status,
    m.vin AS machine_vin,
    m.raw_vin,
    m.changed,
    m.reasons,
    m.char_probs,
    m.second_chars,
    m.second_probs,
    m.issues,
    m.alternative_vins,
    m.alternative_probs,
    c.reviewer,
    c.signed_at AS reviewed_at,
    c.note,
    m.read_at,
    m.model_id,
    m.run_id,
    m.shard
FROM machine_readings m
LEFT JOIN deciding_corrections c ON c.card_id = m.card_id;

CREATE VIEW accepted_readings AS
SELECT * FROM readings WHERE status IN ('accepted', 'confirmed');

CREATE VIEW review_queue AS
SELECT * FROM readings WHERE status NOT IN ('accepted', 'confirmed') AND source = 'machine';
