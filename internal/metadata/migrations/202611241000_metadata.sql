-- +goose Up

-- The last good list of key models, whole and as it was signed (compressed), so
-- that a start can judge it again. For the installation as a whole: no tenant.
create table metadata_blob (
	id text not null primary key, -- always 'fido'
	number bigint not null,       -- serial number; it never goes down
	next_update bigint not null,
	fetched bigint not null,      -- when it was taken in, and its chain judged
	source text not null,
	body bytea not null
);

-- How the last try to get a newer one went. Apart from the list, which is
-- large and seldom written.
create table metadata_try (
	id text not null primary key, -- always 'fido'
	source text not null,
	etag text not null,
	last_modified text not null,
	tried bigint not null,
	next_try bigint not null,
	failures bigint not null,     -- in a row
	result text not null,
	detail text not null
);
