-- +goose Up
-- What a grant came by: the primary refresh token that it stands on and ends
-- with, and the device that holds it. Empty: nothing but its session.
alter table refresh_family add column stands_on text not null default '';
alter table refresh_family add column device_id text not null default '';
