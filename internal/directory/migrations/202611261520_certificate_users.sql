-- +goose Up
-- What a user is called in a directory of their own premises; empty: nothing.
alter table users add column on_premises_name text not null default '';
alter table users add column on_premises_folded text not null default '';
create unique index users_on_premises on users (tenant_id, on_premises_folded) where on_premises_folded <> '';

-- Values of certificates that say whose they are. The digest is that of the
-- value: a value may be longer than an index takes. Its key makes it one user's.
create table user_certificate_id (
    tenant_id text not null,
    digest    text not null,
    user_id   text not null,
    place     bigint not null,
    value     text not null,
    primary key (tenant_id, digest)
);
create index user_certificate_id_user on user_certificate_id (tenant_id, user_id, place);
