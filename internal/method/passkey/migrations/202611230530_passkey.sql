-- +goose Up

-- One row a person: the user handle that their authenticators keep, and how
-- many passkeys they hold. The count is what the limit is decided by.
create table passkey_handle (
	tenant_id text not null,
	user_id text not null,
	handle bytea not null,
	held bigint not null,
	primary key (tenant_id, user_id)
);

-- id is the credential id in base64url. It is unique over all tenants, because
-- they share the RP ID. Columns that a sign-in never reads come last.
create table passkey (
	id text not null primary key,
	tenant_id text not null,
	user_id text not null,
	handle bytea not null,
	public_key bytea not null,
	alg bigint not null,
	sign_count bigint not null,
	aaguid text not null,
	attested boolean not null,
	backup_eligible boolean not null,
	backed_up boolean not null,
	disabled boolean not null,
	name text not null,
	created bigint not null,
	last_used bigint not null,
	clone_seen bigint not null,
	discoverable text not null,
	transports text not null,
	attestation text not null,
	attestation_object bytea not null,
	client_data bytea not null
);

create index passkey_owner on passkey (tenant_id, user_id, id);
