-- +goose Up
-- What a device has as a Mac; its name, owner and state are device's. serial
-- and udid are empty where they were not said.
create table mac (
    tenant_id  text    not null,
    device_id  text    not null,
    serial     text    not null,
    udid       text    not null,
    proven     boolean not null,
    source     text    not null,
    token_id   text    not null,
    created    bigint  not null,
    registered bigint  not null,
    primary key (tenant_id, device_id)
);
create index mac_serial on mac (tenant_id, serial) where serial <> '';

-- kid is the SHA-256 of the key's point, by which requests name it. That no key
-- is registered twice anywhere is device_key's to say. until is when the
-- rotation is over that a pending key is of.
create table mac_key (
    tenant_id text    not null,
    kid       bytea   not null,
    device_id text    not null,
    role      text    not null,
    state     text    not null,
    point     bytea   not null,
    attested  boolean not null,
    created   bigint  not null,
    until     bigint  not null,
    primary key (tenant_id, kid)
);
create unique index mac_key_of_mac on mac_key (tenant_id, device_id, role, state);
create index mac_key_until on mac_key (until) where until > 0;

-- Registration tokens. digest is the SHA-256 of one: the token itself is
-- nowhere. issued_by and issued_for are people, or empty; revoked is when it
-- was taken back, 0 while it was not.
create table mac_token (
    tenant_id  text   not null,
    id         text   not null,
    digest     bytea  not null,
    issued_by  text   not null,
    issued_for text   not null,
    serial     text   not null,
    note       text   not null,
    uses       bigint not null,
    used       bigint not null,
    device_id  text   not null,
    created    bigint not null,
    expires    bigint not null,
    last_used  bigint not null,
    revoked    bigint not null,
    primary key (tenant_id, id)
);
create unique index mac_token_digest on mac_token (digest);
create index mac_token_created on mac_token (tenant_id, created, id);
create index mac_token_expires on mac_token (expires);

-- Keys that unlock a Mac for a person. sealed is the private key.
create table mac_unlock (
    tenant_id   text   not null,
    device_id   text   not null,
    user_id     text   not null,
    purpose     text   not null,
    id          text   not null,
    sealed      bytea  not null,
    certificate bytea  not null,
    created     bigint not null,
    expires     bigint not null,
    primary key (tenant_id, device_id, user_id, purpose)
);
create index mac_unlock_user on mac_unlock (tenant_id, user_id);
