-- +goose Up
-- kek names the key-encryption key that a row is sealed under (keyring.KEKID);
-- empty: written by a version that named none.
alter table sealing_key add column kek text not null default '';
alter table signing_key add column kek text not null default '';
create index sealing_key_kek on sealing_key (kek);
create index signing_key_kek on signing_key (kek);

-- Row 1 is the key that everything is sealed under. While it is being
-- replaced, row 2 is the key that takes over: whatever is new is sealed under
-- that one. since is when the key of row 1 took over; 0: it is the first.
alter table kek_check add column kek text not null default '';
alter table kek_check add column since bigint not null default 0;

-- The servers that run, and which key-encryption keys each has: ids, the one
-- of its key file first, with spaces between.
create table kek_node (
    id text not null primary key,
    place text not null,
    keks text not null,
    seen_at bigint not null
);
