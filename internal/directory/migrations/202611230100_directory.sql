-- +goose Up
create table tenant (
    id      text   not null primary key,
    name    text   not null,
    domain  text   not null,
    created bigint not null
);
create index tenant_created on tenant (created, id);

create table tenant_domain (
    domain    text   not null primary key,
    tenant_id text   not null,
    created   bigint not null
);
create index tenant_domain_tenant on tenant_domain (tenant_id, domain);

create table users (
    tenant_id    text    not null,
    id           text    not null,
    name         text    not null,
    name_folded  text    not null,
    display_name text    not null,
    display_folded text  not null,
    enabled      boolean not null,
    user_type    text    not null,
    role         text    not null,
    created      bigint  not null,
    primary key (tenant_id, id)
);
create unique index users_name on users (tenant_id, name_folded);
create index users_created on users (tenant_id, created, id);
create index users_role on users (tenant_id, role) where role <> '';

create table user_group (
    tenant_id   text   not null,
    id          text   not null,
    name        text   not null,
    name_folded text   not null,
    created     bigint not null,
    primary key (tenant_id, id)
);
create unique index user_group_name on user_group (tenant_id, name_folded);
create index user_group_created on user_group (tenant_id, created, id);

create table user_group_member (
    tenant_id text   not null,
    group_id  text   not null,
    user_id   text   not null,
    added     bigint not null,
    primary key (tenant_id, group_id, user_id)
);
create index user_group_member_user on user_group_member (tenant_id, user_id, group_id);
