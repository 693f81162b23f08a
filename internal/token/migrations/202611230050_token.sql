-- +goose Up
create table refresh_family (
    id text not null primary key,
    tenant_id text not null,
    user_id text not null,
    session_id text not null,
    client_id text not null,
    code_id bytea not null,
    scopes text not null,
    audience text not null,
    info text not null,
    acr text not null,
    amr text not null,
    auth_time bigint not null,
    nonce text not null,
    generation bigint not null,
    rotated_at bigint not null,
    created_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint not null
);
create index refresh_family_code on refresh_family (tenant_id, code_id);
create index refresh_family_session on refresh_family (tenant_id, session_id);
create index refresh_family_user on refresh_family (tenant_id, user_id);
