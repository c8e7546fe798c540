-- Who may do what. A role of a machine or of a person is a member of one of these.
DO $$
DECLARE
    role TEXT;
BEGIN
    FOREACH role IN ARRAY ARRAY[
        'codex_tap_machines', 'codex_tap_readers', 'codex_tap_readers_without_emails', 'codex_tap_people']
    LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO codex_tap_machines, codex_tap_readers,'
        ' codex_tap_readers_without_emails, codex_tap_people', current_database());
END $$;

REVOKE ALL ON SCHEMA codex_tap FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA codex_tap FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA codex_tap FROM PUBLIC;
GRANT USAGE ON SCHEMA codex_tap
    TO codex_tap_machines, codex_tap_readers, codex_tap_readers_without_emails, codex_tap_people;

-- A machine calls two functions, and sees no row.
GRANT EXECUTE ON FUNCTION ship_1(JSON, JSON, JSON), where_1(UUID) TO codex_tap_machines;

-- A reader reads all of this; the partitions have no rights of their own, so what holds for a table holds for its rows.
GRANT SELECT ON installation, machines, machine_accounts, batches, tokens, snapshots, limits, losses, requests, threads,
    sightings, limit_names, merged_accounts, imported_limits
    TO codex_tap_readers, codex_tap_readers_without_emails, codex_tap_people;
GRANT SELECT ON accounts TO codex_tap_readers, codex_tap_people;

-- Some see accounts without e-mails: the column is closed to them, and a view in a schema of its own has it empty. A
-- connection of theirs has that schema in front.
GRANT SELECT (id, account_id, user_id, name, first_seen_at, last_seen_at, snapshot_id)
    ON accounts TO codex_tap_readers_without_emails;
CREATE SCHEMA IF NOT EXISTS codex_tap_without_emails;
CREATE OR REPLACE VIEW codex_tap_without_emails.accounts WITH (security_invoker = true) AS
    SELECT id, account_id, user_id, name, NULL::TEXT COLLATE "C" AS email, first_seen_at, last_seen_at, snapshot_id
    FROM codex_tap.accounts;
REVOKE ALL ON SCHEMA codex_tap_without_emails FROM PUBLIC;
GRANT USAGE ON SCHEMA codex_tap_without_emails TO codex_tap_readers_without_emails;
GRANT SELECT ON codex_tap_without_emails.accounts TO codex_tap_readers_without_emails;

-- A person reads what all machines saw of the accounts that a machine of theirs has seen.
GRANT EXECUTE ON FUNCTION own_accounts(), own_machines() TO codex_tap_people;
DO $$
DECLARE
    part TEXT;
    own TEXT;
BEGIN
    FOREACH part IN ARRAY ARRAY[
        'accounts', 'tokens', 'snapshots', 'limits', 'requests', 'threads', 'merged_accounts', 'imported_limits',
        'machine_accounts', 'machines', 'batches', 'losses', 'sightings']
    LOOP
        own := CASE
            WHEN part = 'accounts' THEN 'id IN (SELECT own_accounts())'
            WHEN part IN ('batches', 'losses', 'sightings') THEN 'machine IN (SELECT own_machines())'
            -- Of other machines those that have seen one of these accounts.
            WHEN part = 'machines' THEN 'machine IN (SELECT machine FROM machine_accounts UNION SELECT own_machines())'
            ELSE 'account IN (SELECT own_accounts())' END;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('DROP POLICY IF EXISTS readers ON %I', part);
        EXECUTE format('DROP POLICY IF EXISTS people ON %I', part);
        EXECUTE format('CREATE POLICY readers ON %I FOR SELECT'
            ' TO codex_tap_readers, codex_tap_readers_without_emails USING (true)', part);
        EXECUTE format('CREATE POLICY people ON %I FOR SELECT TO codex_tap_people USING (%s)', part, own);
    END LOOP;
END $$;
