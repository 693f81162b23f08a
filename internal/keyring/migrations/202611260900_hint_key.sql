-- +goose Up
-- The public halves of keys that a scheduled rotation ended: what they signed
-- is believed as a hint (who was signed in) and as nothing else.
create table hint_key (
    tenant_id text not null,
    id text not null,
    alg text not null,
    public bytea not null,
    added_at bigint not null,
    primary key (tenant_id, id)
);
