-- +goose Up
-- A registration that an administrator has begun for somebody. id is the
-- SHA-256 of the challenge.
create table provision (
    tenant_id text not null,
    id        bytea not null,
    user_id   text not null,
    actor     text not null,
    method    text not null,
    keep      bytea not null,
    expires   bigint not null,
    primary key (tenant_id, id)
);
create index provision_expires on provision (expires);
