-- +goose Up
-- One row per kind of work, for the installation as a whole: no tenant.
create table job (
	name text not null primary key,
	holder text not null,          -- the claim of the node that runs it, or ''
	claimed_until bigint not null, -- when that claim lapses
	next_run bigint not null,
	kicks bigint not null,         -- grows with each kick; one that comes while running is not lost
	failures bigint not null       -- in a row
);
