-- +goose Up
-- The time that a job which forgets was last told, and how many of its runs
-- since then were held at it, because the clock was far beyond.
alter table job add column reached bigint not null default 0;
alter table job add column held bigint not null default 0;
