-- +goose Up
-- One pass a person: a new one takes the place of the old.
create table access_pass (
    tenant_id text not null,
    user_id   text not null,
    id        text not null,
    selector  bytea not null,
    code      bytea not null,
    once      boolean not null,
    tries     bigint not null,
    created   bigint not null,
    starts    bigint not null,
    expires   bigint not null,
    last_used bigint not null,
    primary key (tenant_id, user_id)
);
create index access_pass_expires on access_pass (expires);
