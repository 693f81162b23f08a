-- +goose Up
-- A person has one PRT on a Mac that has not ended: each login moves it on.
create unique index prt_of_mac on prt (tenant_id, user_id, device_id) where protocol = 'mac' and ended = 0;
