-- log.db, format 1. Every cell is covered by a signature: the admin's over `admin`, a writer's over `entries`, and through
-- an entry's root over the `seals` and `frames` that belong to it. Identifiers are BLOBs of fixed length.

-- What the fleet's admin signed, in order: founding, stores, identities, epochs, fleet keys, grants.
CREATE TABLE admin(
  seq INTEGER PRIMARY KEY CHECK(seq > 0),
  prev BLOB NOT NULL CHECK(length(prev) = 32),
  kind INTEGER NOT NULL,
  time_ms INTEGER NOT NULL,
  payload BLOB NOT NULL,
  signature BLOB NOT NULL CHECK(length(signature) = 64)
) STRICT;

-- The trail: one signed header per batch of calls, sealed artefact or act. Storage order is the order of commits; after
-- a merge several stores' chains lie in it, each in its own order.
CREATE TABLE entries(
  n INTEGER PRIMARY KEY CHECK(n > 0),
  store BLOB NOT NULL CHECK(length(store) = 16),
  counter INTEGER NOT NULL,
  prev BLOB NOT NULL CHECK(length(prev) = 32),
  kind INTEGER NOT NULL,
  batch BLOB NOT NULL CHECK(length(batch) = 16),
  writer INTEGER NOT NULL,
  admin_seq INTEGER NOT NULL,
  schema INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  meta_epoch INTEGER NOT NULL,
  body_epoch INTEGER NOT NULL,
  n_calls INTEGER NOT NULL,
  n_leaves INTEGER NOT NULL,
  root BLOB NOT NULL CHECK(length(root) = 32),
  action TEXT NOT NULL,
  facts TEXT NOT NULL,
  details BLOB NOT NULL,
  signature BLOB NOT NULL CHECK(length(signature) = 64),
  leaves BLOB NOT NULL CHECK(length(leaves) = 32 * n_leaves)
) STRICT;
-- Each store's chain has one header per counter; acts are found by what they say.
CREATE UNIQUE INDEX entries_chain ON entries(store, counter);
CREATE INDEX entries_action ON entries(action);

-- One HPKE context: the frames of one source in one partition of one batch. seal = n << 16 | ordinal in its entry.
CREATE TABLE seals(
  seal INTEGER PRIMARY KEY,
  grp BLOB NOT NULL CHECK(length(grp) = 16),
  partition INTEGER NOT NULL,
  enc_hash BLOB NOT NULL CHECK(length(enc_hash) = 32),
  first_leaf INTEGER NOT NULL,
  n_frames INTEGER NOT NULL,
  refs BLOB NOT NULL
) STRICT;
-- A group by its name: what curated calls and sealed files name.
CREATE INDEX seals_grp ON seals(grp, partition);

-- frame = seal << 16 | index in its context.
CREATE TABLE frames(
  frame INTEGER PRIMARY KEY,
  calls BLOB NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
