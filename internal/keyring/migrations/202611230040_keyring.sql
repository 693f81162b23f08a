-- +goose Up
create table sealing_key (
    tenant_id text not null,
    purpose text not null,
    id text not null,
    sealed bytea not null,
    created_at bigint not null,
    primary key (tenant_id, purpose)
);

-- number counts the keys of one tenant and algorithm: two nodes that make a
-- key at once meet in the primary key, and one of them reads the other's.
create table signing_key (
    tenant_id text not null,
    alg text not null,
    number bigint not null,
    id text not null,
    sealed bytea not null,
    created_at bigint not null,
    active_from bigint not null,
    gone_at bigint not null,
    primary key (tenant_id, alg, number)
);

-- One row: something known, sealed under the key-encryption key.
create table kek_check (
    id bigint not null primary key,
    sealed bytea not null
);
