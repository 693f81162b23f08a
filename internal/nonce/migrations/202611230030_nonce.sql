-- +goose Up
-- The id begins with a time: rows arrive in order and are swept in order, so
-- that one index is enough.
create table spent (
    id bytea not null,
    tenant_id text not null,
    purpose text not null,
    expires_at bigint not null,
    primary key (id, tenant_id, purpose)
);
