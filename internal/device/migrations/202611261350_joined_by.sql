-- +goose Up
-- The grant whose access token joined the device; empty for those of before.
alter table device add column joined_by text not null default '';
