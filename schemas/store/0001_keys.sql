-- keys.db, format 1. Without a row of `encapsulations` the frames of its group can't be opened by anyone: deleting it
-- shreds them, in old copies of log.db too. Kept and backed up apart from log.db.
CREATE TABLE encapsulations(
  grp BLOB NOT NULL CHECK(length(grp) = 16),
  partition INTEGER NOT NULL,
  enc BLOB NOT NULL CHECK(length(enc) = 32),
  PRIMARY KEY(grp, partition)
) STRICT, WITHOUT ROWID;

-- Private halves of epochs (what = partition, 1 to 5) and fleet keys (what = 16 + its number), sealed to one identity
-- each (recipient, maker = number of its entry in `admin`).
CREATE TABLE wraps(
  what INTEGER NOT NULL,
  version INTEGER NOT NULL,
  recipient INTEGER NOT NULL,
  maker INTEGER NOT NULL,
  enc BLOB NOT NULL CHECK(length(enc) = 32),
  sealed BLOB NOT NULL CHECK(length(sealed) = 48),
  signature BLOB NOT NULL CHECK(length(signature) = 64),
  PRIMARY KEY(what, version, recipient)
) STRICT, WITHOUT ROWID;
