-- +goose Up
-- Requests that are over without an answer and without a record of that.
create index phone_request_unanswered on phone_request (expires) where answered = 0 and state <> 'silent';
