-- +goose Up
-- id is a UUIDv7 and the whole key, so that rows are appended in order and a
-- bearer, which begins with the id, is found by it.
create table session (
    id         text not null primary key,
    tenant_id  text not null,
    user_id    text not null,
    digest     bytea not null,
    proofs     text not null,
    proof_time bigint not null,
    mfa_time   bigint not null,
    opened     bigint not null,
    seen       bigint not null,
    expires    bigint not null,
    restricted boolean not null,
    agent      text not null,
    ip         text not null,
    browser    bytea not null,
    epoch      bigint not null,
    ended      bigint not null
);
create index session_of_user on session (tenant_id, user_id);
