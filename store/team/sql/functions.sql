-- The way into the team's database: a machine may call `ship_1` and `where_1`, and nothing else. They set the search path
-- for the functions that they call: setting it takes longer than most of these do.
--
-- `ship_1` takes one batch of one machine, all of it or none, and returns {"answer": …, "nonce": …}:
--   taken      it is stored now
--   repeated   it was stored before; nothing is stored twice
--   differs    the machine's last batch is not `previous`: ask `where_1`, and go on behind the nonce that it returns
--   again      another connection made the machine known at this moment: send the batch again
--   unknown    `previous` is given, and the machine is not known here: begin at the beginning of the file
-- Everything else is an error, and nothing is stored. A field that is not named here is ignored, one that is missing is
-- null. Moments are Unix seconds; those of `snapshots` and `requests` are the machine's own, and `skew` is added to
-- them; all others are by this database's clock already. No moment is later than two minutes from now.
--   batch      file, parent, name, version, previous, nonce, offset, remaining, turns_known_since, snapshots_upto,
--              requests_upto, and these lists, whose `account` is `account_number`:
--     edits    changes of rows that were shipped, in order, up to the row ids `snapshots_upto` and `requests_upto`:
--              kind = forgotten (account), moved (account, target), limit (account, limit_id, target_limit_id),
--              turn (account; the row is requests_upto)
--     accounts id, account_id, user_id, email, email_replaced, facts (row id of the snapshot with plan and credits),
--              first_seen_at, last_seen_at: at least those of the batch's rows that the machine has not told yet
--     renamed  id, name
--     tokens, threads (and `named`: the name is a person's wish, null too), limits (and `row_id`), losses, sightings,
--     limit_names, imported_limits: by the columns of these tables
--   told_snapshots, told_requests: rows by the columns of these tables; `row_id` is their id in the file. A snapshot
--              that was shipped may come again with more observations.
CREATE OR REPLACE FUNCTION ship_1(batch JSON, told_snapshots JSON, told_requests JSON) RETURNS JSON
LANGUAGE plpgsql SECURITY DEFINER SET search_path = codex_tap, pg_temp SET plan_cache_mode = force_generic_plan
-- A plan outlives the size that the tables had when it was made: each finds its few rows by an index. Where there is none,
-- a plan seems costly, which compiling would not mend.
SET enable_seqscan = off SET enable_material = off SET jit = off AS $$
DECLARE
    offered UUID := batch ->> 'nonce';
    previous UUID := batch ->> 'previous';
    now_at moment := extract(epoch FROM clock_timestamp());
    latest moment := now_at + 120;
    origin machines;
    told_accounts JSON := batch -> 'accounts';
    told_edits JSON := batch -> 'edits';
    told_ids BIGINT[] := ARRAY(SELECT id FROM json_to_recordset(told_accounts) AS r (id BIGINT));
    seen BIGINT[];      -- the accounts of its rows
    since moment;       -- of its rows
    until moment;
    again INTEGER;      -- snapshots that may have been shipped before
    ids BIGINT[];
    known BIGINT[];
    shared BIGINT[];
    new_snapshots snapshots[];
    new_requests requests[];
    given INTEGER := checked_rows(batch, told_snapshots, told_requests);
BEGIN
    origin := lock_machine(batch, previous, now_at);
    IF origin.machine IS NULL THEN
        RETURN json_build_object('answer', CASE WHEN previous IS NULL THEN 'again' ELSE 'unknown' END);
    END IF;
    IF origin.nonce = offered THEN
        RETURN json_build_object('answer', 'repeated', 'nonce', origin.nonce);
    END IF;
    IF origin.nonce IS DISTINCT FROM previous THEN
        RETURN json_build_object('answer', 'differs', 'nonce', origin.nonce);
    END IF;

    new_snapshots := placed_snapshots(told_snapshots, origin, latest);
    new_requests := placed_requests(told_requests, origin, latest);
    SELECT coalesce(array_agg(DISTINCT account), '{}'), min(at), max(at), count(*) FILTER (WHERE comes_again)
    INTO seen, since, until, again FROM (
        SELECT account, first_seen_at AS at, row_id <= origin.snapshots_upto AS comes_again FROM unnest(new_snapshots)
        UNION ALL SELECT account, ended_at, false FROM unnest(new_requests)) x;
    IF cardinality(seen) > 0 THEN
        PERFORM add_months(since, until);
    END IF;

    -- All locks on accounts are taken here, in one order. Only where an account vanishes meanwhile can two batches wait
    -- for each other: PostgreSQL ends one of them, and its machine sends it again.
    ids := seen || told_ids || ARRAY(
        SELECT unnest(ARRAY[account, target]) FROM json_to_recordset(told_edits) AS r (account BIGINT, target BIGINT));
    PERFORM 1 FROM accounts WHERE id = ANY (ids) ORDER BY id FOR UPDATE;

    known := ARRAY(SELECT account FROM machine_accounts m WHERE m.machine = origin.machine) || told_ids;
    PERFORM check_accounts(told_accounts, seen, known);
    IF json_array_length(told_edits) > 0 THEN
        -- Rows may go to an account that comes with this batch, and an account may go before it comes again.
        PERFORM store_accounts(batch, seen, origin.machine, known, latest);
        PERFORM apply_edits(told_edits, origin.machine, known);
    END IF;
    PERFORM store_accounts(batch, seen, origin.machine, known, latest);
    PERFORM store_small(batch, origin.machine, known, latest);

    IF cardinality(new_snapshots) > 0 THEN
        INSERT INTO snapshots SELECT r.* FROM unnest(new_snapshots) r WHERE r.row_id > origin.snapshots_upto
        ON CONFLICT DO NOTHING;
        IF again > 0 THEN
            -- What may have been shipped before has grown since, by the columns that the recorder renews.
            UPDATE snapshots s SET
                last_seen_at = greatest(r.last_seen_at, s.first_seen_at), windows_seen_at = r.windows_seen_at,
                observations = r.observations, server_time = r.server_time, refused_at = r.refused_at,
                resets_5h_at = r.resets_5h_at, resets_7d_at = r.resets_7d_at, other_windows = r.other_windows
            FROM unnest(new_snapshots) r
            WHERE r.row_id <= origin.snapshots_upto AND s.account = r.account AND s.machine = r.machine
                AND s.row_id = r.row_id AND s.observations < r.observations;
            INSERT INTO snapshots SELECT r.* FROM unnest(new_snapshots) r
            WHERE r.row_id <= origin.snapshots_upto AND NOT EXISTS (
                SELECT 1 FROM snapshots s WHERE s.account = r.account AND s.machine = r.machine AND s.row_id = r.row_id)
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF cardinality(new_requests) > 0 THEN
        INSERT INTO requests SELECT r.* FROM unnest(new_requests) r ON CONFLICT DO NOTHING;
    END IF;

    shared := ARRAY(SELECT DISTINCT m.account FROM machine_accounts m WHERE m.account = ANY (ids) AND m.machine <> origin.machine);
    IF cardinality(shared) > 0 THEN
        PERFORM mark_late(x.account, x.limit_id, x.since, x.until) FROM (
            SELECT account, limit_id, min(first_seen_at) AS since, max(first_seen_at) + 60 AS until
            FROM unnest(new_snapshots) WHERE row_id > origin.snapshots_upto AND account = ANY (shared) GROUP BY 1, 2
            UNION ALL
            SELECT account, limit_id, first_seen_at, first_seen_at
            FROM unnest(new_snapshots) WHERE row_id <= origin.snapshots_upto AND account = ANY (shared)) x;
        -- A current row that is late now was not told last: any machine's may be the one that was. Of a machine whose
        -- newest row is late it is an earlier one.
        PERFORM point_again(x.account) FROM (
            SELECT l.account FROM limits l
            JOIN snapshots s ON s.account = l.account AND s.id = l.snapshot_id
            WHERE l.account = ANY (shared) AND s.late <> 0
            UNION
            SELECT s.account FROM unnest(new_snapshots) r
            JOIN snapshots s ON s.account = r.account AND s.machine = r.machine AND s.row_id = r.row_id
            WHERE r.account = ANY (shared) AND s.late = 2) x;
    END IF;
    PERFORM point(batch -> 'limits', new_snapshots, origin);
    IF cardinality(told_ids) > 0 THEN
        UPDATE accounts a SET snapshot_id = s.id
        FROM json_to_recordset(told_accounts) AS r (id BIGINT, facts BIGINT)
        CROSS JOIN LATERAL (
            SELECT s.id FROM snapshots s WHERE s.account = r.id AND s.machine = origin.machine AND s.row_id = r.facts LIMIT 1) s
        WHERE a.id = r.id AND (a.snapshot_id IS NULL OR a.snapshot_id < s.id);
    END IF;

    UPDATE machines m SET
        nonce = offered, batches = m.batches + 1, version = batch ->> 'version', name = machine_name(batch, m.owner),
        snapshots_upto = greatest(m.snapshots_upto, (batch ->> 'snapshots_upto')::BIGINT),
        requests_upto = greatest(m.requests_upto, (batch ->> 'requests_upto')::BIGINT),
        turns_known_since = (batch ->> 'turns_known_since')::DOUBLE PRECISION,
        clock_offset = coalesce((batch ->> 'offset')::DOUBLE PRECISION, 0),
        snapshots = m.snapshots + cardinality(new_snapshots) - again,
        requests = m.requests + cardinality(new_requests), remaining = (batch ->> 'remaining')::BIGINT,
        left_out = m.left_out + given - cardinality(new_snapshots) - cardinality(new_requests), last_seen_at = now_at
    WHERE m.machine = origin.machine;
    INSERT INTO batches (machine, number, nonce, taken_at, snapshots, requests) VALUES (
        origin.machine, origin.batches + 1, offered, now_at, cardinality(new_snapshots), cardinality(new_requests));
    IF origin.batches % 100 = 0 THEN
        DELETE FROM batches b WHERE b.machine = origin.machine AND b.number <= origin.batches - 1000;
    END IF;
    RETURN json_build_object('answer', 'taken', 'nonce', offered);
END $$;

-- How far this database is with a file: the nonce of its last batch, those of some before, and this database's clock.
-- A machine that has nothing to ship calls it now and then, to be heard.
CREATE OR REPLACE FUNCTION where_1(file UUID) RETURNS TABLE (nonce UUID, nonces UUID[], at DOUBLE PRECISION)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = codex_tap, pg_temp AS $$
DECLARE
    origin machines;
BEGIN
    UPDATE machines m SET last_seen_at = extract(epoch FROM clock_timestamp())
    WHERE m.file_id = file AND m.owner = session_user RETURNING * INTO origin;
    nonce := origin.nonce;
    nonces := ARRAY(
        SELECT b.nonce FROM batches b WHERE b.machine = origin.machine ORDER BY b.number DESC LIMIT 200);
    at := extract(epoch FROM clock_timestamp());
    RETURN NEXT;
END $$;

-- Whose batch it is, and what may be in it

-- Refuse a batch that is too large; return the number of its rows.
CREATE OR REPLACE FUNCTION checked_rows(batch JSON, told_snapshots JSON, told_requests JSON) RETURNS INTEGER
LANGUAGE plpgsql AS $$
DECLARE
    snapshots INTEGER := coalesce(json_array_length(told_snapshots), 0);
    requests INTEGER := coalesce(json_array_length(told_requests), 0);
BEGIN
    IF batch ->> 'file' IS NULL OR batch ->> 'nonce' IS NULL THEN
        RAISE EXCEPTION 'a batch has a file and a nonce' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF pg_column_size(batch) + coalesce(pg_column_size(told_snapshots), 0)
        + coalesce(pg_column_size(told_requests), 0) > 67108864 THEN
        RAISE EXCEPTION 'a batch has at most 64 MiB' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    IF snapshots > 20000 OR requests > 20000 THEN
        RAISE EXCEPTION 'a batch has at most 20000 rows of a table' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN snapshots + requests;
END $$;

-- Return the machine of a batch, locked; an empty row where it is not known and is not to be made known.
CREATE OR REPLACE FUNCTION lock_machine(batch JSON, previous UUID, now_at DOUBLE PRECISION) RETURNS machines
LANGUAGE plpgsql AS $$
DECLARE
    file UUID := batch ->> 'file';
    parent UUID := batch ->> 'parent';
    origin machines;
BEGIN
    SELECT * INTO origin FROM machines m WHERE m.file_id = file FOR UPDATE;
    IF NOT FOUND AND previous IS NULL THEN
        IF (SELECT count(*) FROM machines m WHERE m.owner = session_user) >= 1000 THEN
            RAISE EXCEPTION 'a machine has at most 1000 files' USING ERRCODE = 'program_limit_exceeded';
        END IF;
        INSERT INTO machines (file_id, root, owner, name, first_seen_at, last_seen_at) VALUES (
            file,
            -- Whoever names it has had the file, by whatever role it is shipped. Copies made before the first shipping
            -- name what they have in common, which is no file.
            coalesce((SELECT m.root FROM machines m WHERE m.file_id = parent), parent, file),
            session_user, machine_name(batch, session_user), now_at, now_at)
        ON CONFLICT (file_id) DO NOTHING RETURNING * INTO origin;
    END IF;
    IF origin.owner <> session_user THEN
        -- This one is a copy: it becomes another machine.
        RAISE EXCEPTION 'another role ships this file'
            USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'machines_owner';
    END IF;
    RETURN origin;
END $$;

CREATE OR REPLACE FUNCTION machine_name(batch JSON, owner TEXT) RETURNS TEXT
LANGUAGE sql IMMUTABLE AS $$
    SELECT left(coalesce(nullif(batch ->> 'name', ''), replace(owner, 'codex_tap_machine_', '')), 100)
$$;

-- The first 63 bits of a digest of both ids.
CREATE OR REPLACE FUNCTION account_number(account_id TEXT, user_id TEXT) RETURNS BIGINT
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN (('x' || left(encode(sha256(convert_to(account_id || '/' || user_id, 'UTF8')), 'hex'), 16))::BIT(64)::BIGINT >> 1)
        & 9223372036854775807;
END $$;

-- An account is who its ids say, and a machine tells nothing of one without having told its ids.
CREATE OR REPLACE FUNCTION check_accounts(told JSON, seen BIGINT[], known BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM json_to_recordset(told) AS r (id BIGINT, account_id TEXT, user_id TEXT)
        WHERE r.id IS DISTINCT FROM account_number(r.account_id, r.user_id)
    ) THEN
        RAISE EXCEPTION 'the number of an account is not that of its ids' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT unnest(seen) EXCEPT SELECT unnest(known)) THEN
        RAISE EXCEPTION 'a row is of an account whose ids this machine has not told' USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Rows as they are stored: at this database's time, with ids in its order. Left out are those of before what is kept,
-- those of an account that an administrator deleted since, and those that the file has in common with one it is a copy of.

CREATE OR REPLACE FUNCTION at_centre(at DOUBLE PRECISION, skew DOUBLE PRECISION, latest DOUBLE PRECISION)
RETURNS DOUBLE PRECISION LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN at IS NOT NULL THEN greatest(least(at + skew, latest), 0) END
$$;

-- Microseconds, then what tells apart the rows of one microsecond.
CREATE OR REPLACE FUNCTION moment_id(at DOUBLE PRECISION, row_id BIGINT, machine INTEGER) RETURNS BIGINT
LANGUAGE sql IMMUTABLE AS $$
    SELECT floor(at * 1e6)::BIGINT * 1024 + (row_id + 37 * machine) % 1024
$$;

CREATE OR REPLACE FUNCTION placed_snapshot(r snapshots, number INTEGER, latest DOUBLE PRECISION, kept_since DOUBLE PRECISION)
RETURNS snapshots LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    r.machine := number;
    r.skew := coalesce(r.skew, 0);
    r.first_seen_at := at_centre(r.first_seen_at, r.skew, latest);
    IF r.first_seen_at < kept_since THEN
        r.first_seen_at := kept_since;
    END IF;
    r.last_seen_at := at_centre(r.last_seen_at, r.skew, latest);
    r.windows_seen_at := at_centre(r.windows_seen_at, r.skew, latest);
    r.refused_at := at_centre(r.refused_at, r.skew, latest);
    r.id := moment_id(r.first_seen_at, r.row_id, number);
    r.observations := coalesce(r.observations, 1);
    r.late := least(coalesce(r.late, 0), 1);
    r.raw := coalesce(r.raw, '{}');
    RETURN r;
END $$;

CREATE OR REPLACE FUNCTION placed_request(r requests, number INTEGER, latest DOUBLE PRECISION)
RETURNS requests LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    r.machine := number;
    r.skew := coalesce(r.skew, 0);
    r.started_at := at_centre(r.started_at, r.skew, latest);
    r.first_byte_at := at_centre(r.first_byte_at, r.skew, latest);
    r.ended_at := at_centre(r.ended_at, r.skew, latest);
    r.id := moment_id(r.ended_at, r.row_id, number);
    r.warm_up := coalesce(r.warm_up, 0);
    r.imported := coalesce(r.imported, 0);
    RETURN r;
END $$;

CREATE OR REPLACE FUNCTION placed_snapshots(told JSON, origin machines, latest DOUBLE PRECISION) RETURNS snapshots[]
LANGUAGE plpgsql AS $$
DECLARE
    since moment := (SELECT kept_since FROM installation);
    rows snapshots[] := ARRAY(
        SELECT p FROM json_populate_recordset(NULL::snapshots, told) r, placed_snapshot(r, origin.machine, latest, since) p
        WHERE p.last_seen_at >= since);
    family INTEGER[];
BEGIN
    IF EXISTS (SELECT 1 FROM forgotten f WHERE f.machine = 0) THEN
        rows := ARRAY(SELECT r FROM unnest(rows) r WHERE NOT EXISTS (
            SELECT 1 FROM forgotten f WHERE f.account = r.account AND f.machine = 0 AND f.at >= r.last_seen_at));
    END IF;
    family := ARRAY(SELECT m.machine FROM machines m WHERE m.root = origin.root AND m.machine <> origin.machine);
    IF cardinality(family) > 0 THEN
        rows := ARRAY(SELECT r FROM unnest(rows) r WHERE NOT EXISTS (
            SELECT 1 FROM snapshots s WHERE s.account = r.account AND s.machine = ANY (family) AND s.row_id = r.row_id
                AND abs((s.first_seen_at - s.skew) - (r.first_seen_at - r.skew)) < 1e-6));
    END IF;
    RETURN rows;
END $$;

CREATE OR REPLACE FUNCTION placed_requests(told JSON, origin machines, latest DOUBLE PRECISION) RETURNS requests[]
LANGUAGE plpgsql AS $$
DECLARE
    since moment := (SELECT kept_since FROM installation);
    rows requests[] := ARRAY(
        SELECT p FROM json_populate_recordset(NULL::requests, told) r, placed_request(r, origin.machine, latest) p
        WHERE p.ended_at >= since);
    family INTEGER[];
BEGIN
    IF EXISTS (SELECT 1 FROM forgotten f WHERE f.machine = 0) THEN
        rows := ARRAY(SELECT r FROM unnest(rows) r WHERE NOT EXISTS (
            SELECT 1 FROM forgotten f WHERE f.account = r.account AND f.machine = 0 AND f.at >= r.ended_at));
    END IF;
    family := ARRAY(SELECT m.machine FROM machines m WHERE m.root = origin.root AND m.machine <> origin.machine);
    IF cardinality(family) > 0 THEN
        rows := ARRAY(SELECT r FROM unnest(rows) r WHERE NOT EXISTS (
            SELECT 1 FROM requests s WHERE s.account = r.account AND s.machine = ANY (family) AND s.row_id = r.row_id
                AND abs((s.ended_at - s.skew) - (r.ended_at - r.skew)) < 1e-6));
    END IF;
    RETURN rows;
END $$;

-- Months: one partition of `snapshots` and of `requests` for each, named by it. There is none for the rest, which would
-- make the newest rows slower to find.

CREATE OR REPLACE FUNCTION add_months(since DOUBLE PRECISION, until DOUBLE PRECISION) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', to_timestamp(since) AT TIME ZONE 'UTC');
    part TEXT;
    name TEXT;
BEGIN
    WHILE extract(epoch FROM month) <= until LOOP
        FOREACH part IN ARRAY ARRAY['snapshots', 'requests'] LOOP
            name := part || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass(name) IS NOT NULL;
            PERFORM 1 FROM installation FOR UPDATE;
            -- While this waited, another connection may have made it: only a query is sure to see that.
            IF NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'codex_tap'::REGNAMESPACE AND relname = name) THEN
                -- Attached afterwards, because that lets others read and write meanwhile.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, part);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                    part, name, extract(epoch FROM month), extract(epoch FROM month + interval '1 month'));
            END IF;
        END LOOP;
        month := month + interval '1 month';
    END LOOP;
END $$;

-- Make the months that come next, so that the first batch of each finds it there.
CREATE OR REPLACE FUNCTION add_months_ahead(number INTEGER) RETURNS VOID
LANGUAGE sql SET search_path = codex_tap, pg_temp AS $$
    SELECT add_months(extract(epoch FROM now())::FLOAT8, extract(epoch FROM now() + make_interval(months => number))::FLOAT8)
$$;

-- Changes of what was shipped. The same change twice changes nothing.

CREATE OR REPLACE FUNCTION apply_edits(told JSON, number INTEGER, known BIGINT[]) RETURNS VOID
LANGUAGE plpgsql AS $$
DECLARE
    edit RECORD;
BEGIN
    FOR edit IN SELECT * FROM json_to_recordset(told) AS r (
        kind TEXT, account BIGINT, target BIGINT, limit_id TEXT, target_limit_id TEXT, snapshots_upto BIGINT, requests_upto BIGINT)
    LOOP
        CASE edit.kind
        WHEN 'forgotten' THEN PERFORM forget_of_machine(edit.account, number, edit.snapshots_upto, edit.requests_upto);
        WHEN 'moved' THEN
            IF edit.target = ANY (known) THEN
                PERFORM move_rows(edit.account, edit.target, number, edit.snapshots_upto, edit.requests_upto);
            ELSE -- deleted by an administrator since, or these rows are yet to come
                PERFORM forget_of_machine(edit.account, number, edit.snapshots_upto, edit.requests_upto);
            END IF;
        WHEN 'limit' THEN PERFORM move_limit(
            edit.account, edit.limit_id, edit.target_limit_id, number, edit.snapshots_upto, edit.requests_upto);
        WHEN 'turn' THEN
            DELETE FROM requests r WHERE r.account = edit.account AND r.machine = number AND r.row_id = edit.requests_upto;
        ELSE NULL; -- of a newer codex-tap
        END CASE;
    END LOOP;
END $$;

-- Delete what a machine had shipped of an account, up to its highest row ids: by ids and not by time, because what waited
-- in a queue comes later than its moment says.
CREATE OR REPLACE FUNCTION forget_of_machine(who BIGINT, number INTEGER, snapshots_until BIGINT, requests_until BIGINT)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    part RECORD;
BEGIN
    IF EXISTS (SELECT 1 FROM forgotten f WHERE f.account = who AND f.machine = number
            AND f.snapshots_upto >= snapshots_until AND f.requests_upto >= requests_until) THEN
        RETURN;
    END IF;
    INSERT INTO forgotten (account, machine, at, snapshots_upto, requests_upto)
    VALUES (who, number, extract(epoch FROM clock_timestamp()), snapshots_until, requests_until)
    ON CONFLICT (account, machine) DO UPDATE SET
        at = excluded.at, snapshots_upto = excluded.snapshots_upto, requests_upto = excluded.requests_upto;
    DELETE FROM requests r WHERE r.account = who AND r.machine = number AND r.row_id <= requests_until;
    FOR part IN
        WITH gone AS (
            DELETE FROM snapshots s WHERE s.account = who AND s.machine = number AND s.row_id <= snapshots_until
            RETURNING s.limit_id, s.first_seen_at)
        SELECT limit_id, min(first_seen_at) AS since, max(first_seen_at) + 60 AS until FROM gone GROUP BY limit_id
    LOOP
        PERFORM mark_late(who, part.limit_id, part.since, part.until);
    END LOOP;
    PERFORM leave_account(who, number);
END $$;

-- Give a machine's rows of an account to another account, because they turned out to be one.
CREATE OR REPLACE FUNCTION move_rows(who BIGINT, target BIGINT, number INTEGER, snapshots_until BIGINT, requests_until BIGINT)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    part RECORD;
    former accounts;
BEGIN
    IF who = target THEN
        RETURN;
    END IF;
    SELECT * INTO former FROM accounts a WHERE a.id = who;
    UPDATE requests r SET account = target WHERE r.account = who AND r.machine = number AND r.row_id <= requests_until;
    FOR part IN
        WITH moved AS (
            UPDATE snapshots s SET account = target WHERE s.account = who AND s.machine = number AND s.row_id <= snapshots_until
            RETURNING s.limit_id, s.first_seen_at)
        SELECT limit_id, min(first_seen_at) AS since, max(first_seen_at) + 60 AS until FROM moved GROUP BY limit_id
    LOOP
        PERFORM mark_late(who, part.limit_id, part.since, part.until);
        PERFORM mark_late(target, part.limit_id, part.since, part.until);
    END LOOP;
    INSERT INTO tokens (token_key, account, machine, first_seen_at, last_seen_at, expires_at)
    SELECT token_key, target, machine, first_seen_at, last_seen_at, expires_at FROM tokens WHERE account = who AND machine = number
    ON CONFLICT DO NOTHING;
    INSERT INTO threads (account, thread, name, first_seen_at, last_seen_at, is_session)
    SELECT target, t.thread, t.name, t.first_seen_at, t.last_seen_at, t.is_session FROM threads t
    WHERE t.account = who AND EXISTS (
        SELECT 1 FROM requests r WHERE r.account = target AND r.thread = t.thread AND r.machine = number)
    ON CONFLICT (account, thread) DO NOTHING;
    INSERT INTO imported_limits SELECT (i).* FROM (
        SELECT json_populate_record(i, json_build_object('account', target)) AS i FROM imported_limits i
        WHERE i.account = who AND i.machine = number) x
    ON CONFLICT DO NOTHING;
    INSERT INTO machine_accounts (account, machine) VALUES (target, number) ON CONFLICT DO NOTHING;
    PERFORM leave_account(who, number);
    PERFORM point_again(target);
    -- Where no other machine has seen it by its own ids, these lead to the other account from now on.
    IF former.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = who) THEN
        UPDATE accounts a SET
            name = coalesce(a.name, former.name), email = coalesce(a.email, former.email),
            first_seen_at = least(a.first_seen_at, former.first_seen_at),
            last_seen_at = greatest(a.last_seen_at, former.last_seen_at)
        WHERE a.id = target;
        UPDATE merged_accounts m SET account = target WHERE m.account = who;
        INSERT INTO merged_accounts (account_id, user_id, account) VALUES (former.account_id, former.user_id, target)
        ON CONFLICT (account_id, user_id) DO UPDATE SET account = excluded.account;
    END IF;
END $$;

-- Give a machine's rows of a limit to another limit, because its id became known.
CREATE OR REPLACE FUNCTION move_limit(
    who BIGINT, former TEXT, target TEXT, number INTEGER, snapshots_until BIGINT, requests_until BIGINT
) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    part RECORD;
BEGIN
    UPDATE requests r SET limit_id = target
    WHERE r.account = who AND r.machine = number AND r.limit_id = former AND r.row_id <= requests_until;
    DELETE FROM imported_limits i WHERE i.account = who AND i.limit_id = former AND i.machine = number AND EXISTS (
        SELECT 1 FROM imported_limits o WHERE o.account = who AND o.limit_id = target
            AND o.first_seen_at = i.first_seen_at AND o.thread = i.thread);
    UPDATE imported_limits i SET limit_id = target WHERE i.account = who AND i.limit_id = former AND i.machine = number;
    SELECT min(first_seen_at) AS since, max(first_seen_at) + 60 AS until INTO part FROM snapshots s
    WHERE s.account = who AND s.machine = number AND s.limit_id = former AND s.row_id <= snapshots_until;
    UPDATE snapshots s SET limit_id = target
    WHERE s.account = who AND s.machine = number AND s.limit_id = former AND s.row_id <= snapshots_until;
    PERFORM mark_late(who, former, part.since, part.until);
    PERFORM mark_late(who, target, part.since, part.until);
    PERFORM point_again(who);
END $$;

-- A machine has nothing of an account any more. What other machines saw of it stays, and tells how it stands.
CREATE OR REPLACE FUNCTION leave_account(who BIGINT, number INTEGER) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM snapshots s WHERE s.account = who AND s.machine = number)
        OR EXISTS (SELECT 1 FROM requests r WHERE r.account = who AND r.machine = number) THEN
        PERFORM point_again(who); -- it has been seen again since
        RETURN;
    END IF;
    DELETE FROM tokens t WHERE t.account = who AND t.machine = number;
    DELETE FROM imported_limits i WHERE i.account = who AND i.machine = number;
    DELETE FROM machine_accounts m WHERE m.account = who AND m.machine = number;
    IF NOT EXISTS (SELECT 1 FROM machine_accounts m WHERE m.account = who) THEN
        PERFORM delete_account(who);
    ELSE
        DELETE FROM threads t WHERE t.account = who
            AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.account = who AND r.thread = t.thread);
        PERFORM point_again(who);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION delete_account(who BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM snapshots WHERE account = who;
    DELETE FROM requests WHERE account = who;
    DELETE FROM imported_limits WHERE account = who;
    DELETE FROM limits WHERE account = who;
    DELETE FROM threads WHERE account = who;
    DELETE FROM tokens WHERE account = who;
    DELETE FROM merged_accounts WHERE account = who;
    DELETE FROM machine_accounts WHERE account = who;
    DELETE FROM accounts WHERE id = who;
END $$;

-- Delete an account as an administrator: what was seen of it up to now does not come back from any machine.
CREATE OR REPLACE FUNCTION forget_everywhere(who BIGINT) RETURNS VOID
LANGUAGE plpgsql SET search_path = codex_tap, pg_temp AS $$
BEGIN
    PERFORM 1 FROM accounts a WHERE a.id = who FOR UPDATE;
    INSERT INTO forgotten (account, machine, at) VALUES (who, 0, extract(epoch FROM clock_timestamp()))
    ON CONFLICT (account, machine) DO UPDATE SET at = excluded.at;
    PERFORM delete_account(who);
    UPDATE installation SET edits = edits + 1;
END $$;

-- Small tables

CREATE OR REPLACE FUNCTION store_accounts(batch JSON, seen BIGINT[], number INTEGER, known BIGINT[], latest DOUBLE PRECISION)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    told JSON := batch -> 'accounts';
    renamed JSON := batch -> 'renamed';
BEGIN
    INSERT INTO accounts AS a (id, account_id, user_id, email, first_seen_at, last_seen_at)
    SELECT r.id, r.account_id, r.user_id, r.email, at_centre(r.first_seen_at, 0, latest), at_centre(r.last_seen_at, 0, latest)
    FROM json_to_recordset(told) AS r (
        id BIGINT, account_id TEXT, user_id TEXT, email TEXT, first_seen_at moment, last_seen_at moment)
    WHERE r.id = ANY (seen) OR NOT EXISTS (
        SELECT 1 FROM forgotten f WHERE f.account = r.id AND f.machine = 0 AND f.at >= r.last_seen_at)
    ORDER BY r.id
    ON CONFLICT (id) DO UPDATE SET
        email = coalesce(excluded.email, a.email),
        first_seen_at = least(a.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(a.last_seen_at, excluded.last_seen_at)
    WHERE a.last_seen_at < excluded.last_seen_at OR a.first_seen_at > excluded.first_seen_at
        OR a.email IS DISTINCT FROM coalesce(excluded.email, a.email);
    UPDATE accounts a SET email = r.email
    FROM json_to_recordset(told) AS r (id BIGINT, email TEXT, email_replaced BOOLEAN)
    WHERE r.email_replaced AND a.id = r.id AND a.email IS DISTINCT FROM r.email;
    INSERT INTO machine_accounts (account, machine)
    SELECT a.id, number FROM json_to_recordset(told) AS r (id BIGINT) JOIN accounts a ON a.id = r.id
    ON CONFLICT DO NOTHING;
    IF json_array_length(renamed) > 0 THEN
        UPDATE accounts a SET name = r.name
        FROM json_to_recordset(renamed) AS r (id BIGINT, name TEXT) WHERE a.id = r.id AND r.id = ANY (known);
    END IF;
END $$;

-- Rows of accounts that are not known are passed over: an administrator has deleted the account.
CREATE OR REPLACE FUNCTION store_small(batch JSON, number INTEGER, known BIGINT[], latest DOUBLE PRECISION) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    IF json_array_length(batch -> 'tokens') > 0 THEN
        INSERT INTO tokens AS t (token_key, account, machine, first_seen_at, last_seen_at, expires_at)
        SELECT r.token_key, r.account, number, at_centre(r.first_seen_at, 0, latest), at_centre(r.last_seen_at, 0, latest), r.expires_at
        FROM json_populate_recordset(NULL::tokens, batch -> 'tokens') r
        JOIN accounts a ON a.id = r.account AND a.id = ANY (known)
        ON CONFLICT (account, token_key, machine) DO UPDATE SET
            last_seen_at = greatest(t.last_seen_at, excluded.last_seen_at), expires_at = excluded.expires_at;
    END IF;
    IF json_array_length(batch -> 'threads') > 0 THEN
        INSERT INTO threads AS t (account, thread, first_seen_at, last_seen_at, is_session)
        SELECT r.account, r.thread, at_centre(r.first_seen_at, 0, latest), at_centre(r.last_seen_at, 0, latest), coalesce(r.is_session, 0)
        FROM json_populate_recordset(NULL::threads, batch -> 'threads') r
        JOIN accounts a ON a.id = r.account AND a.id = ANY (known)
        ON CONFLICT (account, thread) DO UPDATE SET
            first_seen_at = least(t.first_seen_at, excluded.first_seen_at),
            last_seen_at = greatest(t.last_seen_at, excluded.last_seen_at);
        UPDATE threads t SET name = r.name
        FROM json_to_recordset(batch -> 'threads') AS r (account BIGINT, thread TEXT, name TEXT, named BOOLEAN)
        WHERE r.named AND t.account = r.account AND t.thread = r.thread AND r.account = ANY (known);
    END IF;
    IF json_array_length(batch -> 'losses') > 0 THEN
        INSERT INTO losses (id, machine, row_id, at, count, reason)
        SELECT moment_id(at_centre(r.at, 0, latest), r.row_id, number), number, r.row_id, at_centre(r.at, 0, latest), r.count, r.reason
        FROM json_populate_recordset(NULL::losses, batch -> 'losses') r ON CONFLICT DO NOTHING;
    END IF;
    IF json_array_length(batch -> 'sightings') > 0 THEN
        INSERT INTO sightings AS s (machine, kind, name, count, first_seen_at, last_seen_at)
        SELECT number, r.kind, r.name, r.count, at_centre(r.first_seen_at, 0, latest), at_centre(r.last_seen_at, 0, latest)
        FROM json_populate_recordset(NULL::sightings, batch -> 'sightings') r
        ON CONFLICT (machine, kind, name) DO UPDATE SET count = excluded.count, last_seen_at = excluded.last_seen_at;
    END IF;
    IF json_array_length(batch -> 'limit_names') > 0 THEN
        INSERT INTO limit_names (name, limit_id)
        SELECT r.name, r.limit_id FROM json_populate_recordset(NULL::limit_names, batch -> 'limit_names') r
        ORDER BY r.name ON CONFLICT (name) DO NOTHING;
    END IF;
    IF json_array_length(batch -> 'imported_limits') > 0 THEN
        INSERT INTO imported_limits AS i SELECT (p).* FROM (
            SELECT json_populate_record(r, json_build_object(
                'machine', number, 'first_seen_at', at_centre(r.first_seen_at, 0, latest),
                'last_seen_at', at_centre(r.last_seen_at, 0, latest))) AS p
            FROM json_populate_recordset(NULL::imported_limits, batch -> 'imported_limits') r
            JOIN accounts a ON a.id = r.account AND a.id = ANY (known)) x
        ON CONFLICT (account, limit_id, first_seen_at, thread) DO UPDATE SET
            last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at);
    END IF;
END $$;

-- How a limit stands now

-- A reading is late if it says less of the same window than another machine's reading of the minute before, and was not
-- seen again ten seconds later: it was overtaken on its way. This follows from the rows around it alone, so the order in
-- which they come does not matter.
CREATE OR REPLACE FUNCTION mark_late(who BIGINT, which TEXT, since DOUBLE PRECISION, until DOUBLE PRECISION) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE snapshots s SET late = 2 - s.late
    WHERE s.account = who AND s.limit_id = which AND s.late <> 1 AND s.first_seen_at BETWEEN since AND until
        AND (s.late = 2) <> EXISTS (
            SELECT 1 FROM snapshots o
            WHERE o.account = who AND o.limit_id = which AND o.machine <> s.machine AND o.late <> 1
                AND o.first_seen_at BETWEEN s.first_seen_at - 60 AND s.first_seen_at
                AND s.last_seen_at < o.first_seen_at + 10
                AND (o.resets_7d_at BETWEEN s.resets_7d_at - 60 AND s.resets_7d_at + 60
                        AND o.used_7d_percent > s.used_7d_percent
                    OR o.resets_5h_at BETWEEN s.resets_5h_at - 60 AND s.resets_5h_at + 60
                        AND o.used_5h_percent > s.used_5h_percent));
END $$;

-- The current row of a limit is the one that was told last, by whichever machine: one may see again what another machine
-- saw meanwhile. A late one is none.
CREATE OR REPLACE FUNCTION point(told JSON, new_snapshots snapshots[], origin machines) RETURNS VOID
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO limits AS l (account, limit_id, snapshot_id, by_name, told_at)
    SELECT c.account, s.limit_id, s.id, c.by_name, coalesce(s.windows_seen_at, s.last_seen_at)
    FROM (
        SELECT DISTINCT ON (account, limit_id) account, limit_id, row_id, by_name FROM (
            SELECT account, limit_id, row_id, coalesce(by_name, 0) AS by_name
            FROM json_to_recordset(told) AS r (account BIGINT, limit_id TEXT, row_id BIGINT, by_name flag)
            UNION ALL
            -- What it told last is told when it is reached: years of history may come before.
            SELECT account, limit_id, row_id, 1 FROM unnest(new_snapshots) WHERE late = 0
        ) x ORDER BY account, limit_id, row_id DESC, by_name
    ) c
    CROSS JOIN LATERAL (
        SELECT * FROM snapshots s
        WHERE s.account = c.account AND s.machine = origin.machine AND s.row_id = c.row_id AND s.late = 0 LIMIT 1) s
    ORDER BY c.account, s.limit_id
    ON CONFLICT (account, limit_id) DO UPDATE SET
        snapshot_id = excluded.snapshot_id, told_at = excluded.told_at, by_name = least(l.by_name, excluded.by_name)
    WHERE l.told_at <= excluded.told_at;
END $$;

CREATE OR REPLACE FUNCTION point_again(who BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    -- With a limit of one, the first row that is found ends the search.
    DELETE FROM limits l WHERE l.account = who AND (
        SELECT s.id FROM snapshots s WHERE s.account = who AND s.limit_id = l.limit_id AND s.late = 0 LIMIT 1) IS NULL;
    INSERT INTO limits (account, limit_id, snapshot_id, told_at)
    WITH RECURSIVE known AS ( -- each limit by one look into the index, however many rows it has
        SELECT min(s.limit_id::TEXT) AS limit_id FROM snapshots s WHERE s.account = who
        UNION ALL
        SELECT (SELECT min(s.limit_id::TEXT) FROM snapshots s WHERE s.account = who AND s.limit_id > k.limit_id)
        FROM known k WHERE k.limit_id IS NOT NULL
    )
    SELECT DISTINCT ON (k.limit_id) who, k.limit_id, newest.id, coalesce(newest.windows_seen_at, newest.last_seen_at)
    FROM known k
    JOIN machine_accounts m ON m.account = who
    -- Of each machine its newest row: an older one was told later by a clock that stepped back, if at all.
    CROSS JOIN LATERAL (
        SELECT s.id, s.windows_seen_at, s.last_seen_at FROM snapshots s
        WHERE s.account = who AND s.machine = m.machine AND s.limit_id = k.limit_id AND s.late = 0
        ORDER BY s.row_id DESC LIMIT 1) newest
    ORDER BY k.limit_id, coalesce(newest.windows_seen_at, newest.last_seen_at) DESC
    ON CONFLICT (account, limit_id) DO UPDATE SET snapshot_id = excluded.snapshot_id, told_at = excluded.told_at;
    UPDATE accounts SET snapshot_id = (SELECT max(l.snapshot_id) FROM limits l WHERE l.account = who) WHERE id = who;
END $$;

-- Retention

-- Drop the months that ended before a moment; return the first month that is kept, as its first moment. What was seen
-- since goes on from there: it may still be how a limit stands.
CREATE OR REPLACE FUNCTION drop_months(before DOUBLE PRECISION) RETURNS DOUBLE PRECISION
LANGUAGE plpgsql SET search_path = codex_tap, pg_temp AS $$
DECLARE
    since moment := extract(epoch FROM date_trunc('month', to_timestamp(before) AT TIME ZONE 'UTC'));
    name TEXT;
BEGIN
    SELECT greatest(since, kept_since) INTO since FROM installation FOR UPDATE;
    UPDATE installation SET kept_since = since, edits = edits + 1;
    PERFORM add_months(since, since);
    UPDATE snapshots s SET first_seen_at = since WHERE s.first_seen_at < since AND s.last_seen_at >= since;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('snapshots'::REGCLASS, 'requests'::REGCLASS)
            AND c.relname ~ '_\d{4}_\d{2}$' AND right(c.relname, 7) < to_char(to_timestamp(since) AT TIME ZONE 'UTC', 'YYYY_MM')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
    END LOOP;
    DELETE FROM imported_limits i WHERE i.last_seen_at < since;
    DELETE FROM threads t WHERE t.name IS NULL AND t.last_seen_at < since - 3600;
    DELETE FROM losses l WHERE l.at < since;
    DELETE FROM limits l WHERE NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.account = l.account AND s.id = l.snapshot_id);
    PERFORM delete_account(a.id) FROM accounts a WHERE a.last_seen_at < since;
    RETURN since;
END $$;

-- Whose accounts a person may see: those that a machine of theirs was seen with.
CREATE OR REPLACE FUNCTION own_accounts() RETURNS SETOF BIGINT
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = codex_tap, pg_temp AS $$
    SELECT DISTINCT s.account FROM people p
    JOIN machines m ON m.owner = p.owner JOIN machine_accounts s ON s.machine = m.machine
    WHERE p.person = session_user
$$;

CREATE OR REPLACE FUNCTION own_machines() RETURNS SETOF INTEGER
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = codex_tap, pg_temp AS $$
    SELECT m.machine FROM people p JOIN machines m ON m.owner = p.owner WHERE p.person = session_user
$$;
