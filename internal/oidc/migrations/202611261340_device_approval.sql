-- +goose Up
-- Sign-ins on another machine that a person was asked to allow (RFC 8628). A
-- row begins when somebody who is signed in types a user code; the machine
-- that shows the code fills in what it asks when it next polls.
create table device_approval (
    tenant_id  text   not null,
    id         text   not null,
    code       bytea  not null,
    user_id    text   not null,
    session_id text   not null,
    state      text   not null,
    device     bytea  not null,
    asked      text   not null,
    granted    text   not null,
    created    bigint not null,
    expires    bigint not null,
    primary key (tenant_id, id)
);
create unique index device_approval_code on device_approval (tenant_id, code);
create index device_approval_user on device_approval (tenant_id, user_id, created);
create index device_approval_expires on device_approval (expires);
