-- +goose Up

-- One row a person: how many keys they hold, removed ones not counted. The
-- limit is decided by it, and changes to a person's keys wait for one another
-- at it.
create table hello_holder (
	tenant_id text not null,
	user_id text not null,
	held bigint not null,
	primary key (tenant_id, user_id)
);

-- kid is the SHA-256 that clients name the key by, print the SHA-256 of its
-- SubjectPublicKeyInfo, by which it is unique over all tenants. orphaned is
-- when its device was removed, removed when the key was; 0: it was not.
create table hello_key (
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
	removed bigint not null
);

create unique index hello_key_print on hello_key (print);
create unique index hello_key_of_device on hello_key (tenant_id, device_id, user_id) where removed = 0;
create index hello_key_owner on hello_key (tenant_id, user_id, id);
create index hello_key_orphaned on hello_key (orphaned) where orphaned > 0;
create index hello_key_removed on hello_key (removed) where removed > 0;
