-- +goose Up
-- What a session was opened by: the primary refresh token that it stands on and
-- ends with, and the device that holds it. Empty: nothing but its proofs.
alter table session add column stands_on text not null default '';
alter table session add column device_id text not null default '';
