-- +goose Up
-- What is counted of a subject is found without what strangers had written of
-- it in vain, which may be many rows.
create index phone_request_told on phone_request (tenant_id, subject, created) where state <> 'silent';
