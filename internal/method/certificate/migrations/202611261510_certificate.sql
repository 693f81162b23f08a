-- +goose Up

-- What came from a handshake, for the sign-in that waits for it: the SHA-256 of
-- the code that fetches it, once, and the certificates in DER, the leaf first.
create table certificate_handover (
	code bytea not null primary key,
	tenant_id text not null,
	ceremony text not null,
	chain bytea not null,
	expires bigint not null
);

create index certificate_handover_expires on certificate_handover (expires);

-- One row a person and certificate with which they have signed in. facts are
-- those of the last time. removed is when somebody barred it for that person; 0:
-- nobody did. A bar stands for as long as the certificate could.
create table certificate_seen (
	tenant_id text not null,
	user_id text not null,
	id text not null,
	name text not null,
	subject text not null,
	issuer text not null,
	serial text not null,
	thumbprint text not null,
	facts text not null,
	not_after bigint not null,
	created bigint not null,
	last_used bigint not null,
	removed bigint not null,
	primary key (tenant_id, user_id, id)
);

create index certificate_seen_over on certificate_seen (not_after);
