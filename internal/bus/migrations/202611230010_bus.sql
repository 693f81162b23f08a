-- +goose Up
-- What changed lately on PostgreSQL, for nodes that missed the notice. It is
-- about the installation's caches and has no tenant; keys name theirs.
create table bus_change (
	at bigint not null, -- by the clock of the node that made the change
	id text not null,
	topic text not null,
	item text not null,
	primary key (at, id)
);
