-- +goose Up

-- One row a person: how many keys they hold, removed ones not counted. The
-- limit is decided by it, and changes to a person's keys wait for one another
-- at it.
create table platform_holder (
	tenant_id text not null,
	user_id text not null,
	held bigint not null,
	primary key (tenant_id, user_id)
);

-- kid is the SHA-256 of the key's 65 bytes, by which Macs name it; print the
-- SHA-256 of its SubjectPublicKeyInfo, by which it is unique over all tenants.
-- marks are the bits of its biometric policy, and 256 when it was attested.
-- orphaned is when its Mac was removed, removed when the key was; 0: it was not.
create table platform_key (
	id text not null primary key,
	tenant_id text not null,
	user_id text not null,
	device_id text not null,
	kid bytea not null,
	print bytea not null,
	spki bytea not null,
	name text not null,
	created bigint not null,
	last_used bigint not null,
	orphaned bigint not null,
	removed bigint not null,
	marks bigint not null
);

create unique index platform_key_print on platform_key (print);
create unique index platform_key_of_device on platform_key (tenant_id, device_id, user_id) where removed = 0;
create index platform_key_owner on platform_key (tenant_id, user_id, id);
create index platform_key_orphaned on platform_key (orphaned) where orphaned > 0;
create index platform_key_removed on platform_key (removed) where removed > 0;
