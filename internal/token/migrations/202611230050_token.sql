-- +goose Up
-- id is a UUIDv7 made of the code's id: the row is the grant and the mark that
-- its code was redeemed, in one.
create table refresh_family (
    id text not null primary key,
    tenant_id text not null,
    user_id text not null,
    session_id text not null,
    client_id text not null,
    granted text not null,
    generation bigint not null,
    rotated_at bigint not null,
    expires_at bigint not null,
    revoked_at bigint not null
);
create index refresh_family_user on refresh_family (tenant_id, user_id, session_id);
