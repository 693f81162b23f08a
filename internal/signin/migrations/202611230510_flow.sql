-- +goose Up
-- A flow has a row only once something is proven that does not finish it.
create table flow (
    tenant_id text not null,
    id        text not null,
    body      text not null,
    version   bigint not null,
    expires   bigint not null,
    primary key (tenant_id, id)
);
create index flow_expires on flow (expires);
