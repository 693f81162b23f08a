-- +goose Up
-- A device that is switched off ends the grants that belong to it.
create index refresh_family_device on refresh_family (tenant_id, device_id) where device_id <> '';
