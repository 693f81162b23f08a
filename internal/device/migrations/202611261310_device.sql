-- +goose Up
create table device (
    tenant_id   text    not null,
    id          text    not null,
    name        text    not null,
    name_folded text    not null,
    os          text    not null,
    os_version  text    not null,
    join_type   text    not null,
    owner       text    not null,
    assurance   text    not null,
    software    boolean not null,
    enabled     boolean not null,
    pending     bigint  not null,
    key         bytea   not null,
    transport   bytea   not null,
    thumbprint  text    not null,
    created     bigint  not null,
    seen        bigint  not null,
    certified   bigint  not null,
    voided      bigint  not null,
    primary key (tenant_id, id)
);
create index device_created on device (tenant_id, created, id);
create index device_owner on device (tenant_id, owner, created, id);
create index device_pending on device (pending) where pending > 0;

-- Every key that a machine registered, whoever's it is: the digest alone is the
-- primary key, so that no key is registered twice anywhere.
create table device_key (
    digest    bytea  not null primary key,
    tenant_id text   not null,
    device_id text   not null,
    role      text   not null
);
create index device_key_device on device_key (tenant_id, device_id);

-- How many devices a person has: the row that makes joins of one person come
-- one after the other.
create table device_held (
    tenant_id text   not null,
    owner     text   not null,
    held      bigint not null,
    primary key (tenant_id, owner)
);

create table device_authority (
    tenant_id   text   not null primary key,
    certificate bytea  not null,
    sealed      bytea  not null,
    created     bigint not null
);
