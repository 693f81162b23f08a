-- +goose Up

-- The key that names this installation to push services (RFC 8292). One row,
-- for the installation as a whole: a subscription of Web Push is bound to it,
-- so that losing it loses them all. It is in every backup.
create table vapid_key (
	id text not null primary key, -- always 'vapid'
	public bytea not null,        -- uncompressed point, 65 bytes
	sealed bytea not null,        -- the private scalar
	created bigint not null
);

-- Messages on their way. They live for minutes and are in no backup.
create table push_message (
	id text not null primary key,
	tenant_id text not null,
	phone_id text not null,       -- whose target it is
	topic text not null,          -- a newer message of one phone and topic takes the older one's place
	sealed bytea not null,        -- target and message: an endpoint is a capability
	due bigint not null,          -- the next try
	expires bigint not null,      -- afterwards it is of no use
	tries bigint not null,
	claim text not null,          -- of the node that sends it, '' for none
	claimed_until bigint not null
);
create index push_message_phone on push_message (tenant_id, phone_id, topic);
create index push_message_due on push_message (due);
