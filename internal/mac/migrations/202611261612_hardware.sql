-- +goose Up
-- Hardware that an attestation showed is one Mac of a tenant: of two who
-- register it at once, one is told to look again.
create unique index mac_hardware on mac (tenant_id, serial, udid) where proven;
