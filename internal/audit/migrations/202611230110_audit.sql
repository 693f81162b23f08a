-- +goose Up
create table audit_event (
    tenant_id     text   not null,
    id            text   not null,
    at            bigint not null,
    category      text   not null,
    activity      text   not null,
    outcome       text   not null,
    actor         text   not null,
    user_id       text   not null,
    user_name     text   not null,
    client_id     text   not null,
    session_id    text   not null,
    method        text   not null,
    credential_id text   not null,
    rule          text   not null,
    reason        text   not null,
    code          bigint not null,
    ip            text   not null,
    agent         text   not null,
    trace         text   not null,
    detail        text   not null,
    times         bigint not null,
    primary key (tenant_id, id)
);
create index audit_event_user on audit_event (tenant_id, user_id, id);
create index audit_event_change on audit_event (tenant_id, id) where category not in ('signin', 'token');
