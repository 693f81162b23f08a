-- +goose Up
create table policy (
    tenant_id  text   not null primary key,
    version    bigint not null,
    doc        text   not null,
    changed_at bigint not null
);
