-- +goose Up
-- A device that is switched off ends the sessions that belong to it.
create index session_device on session (tenant_id, device_id) where device_id <> '';
