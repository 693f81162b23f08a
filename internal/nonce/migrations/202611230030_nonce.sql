-- +goose Up
create table spent (
    id bytea not null,
    tenant_id text not null,
    purpose text not null,
    expires_at bigint not null,
    primary key (id, tenant_id, purpose)
);
create index spent_expires on spent (expires_at);
