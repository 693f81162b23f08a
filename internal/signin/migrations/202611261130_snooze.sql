-- +goose Up
-- How often somebody has put off registering a method, and when last.
create table snooze (
    tenant_id text not null,
    user_id   text not null,
    method    text not null,
    times     bigint not null,
    last_at   bigint not null,
    primary key (tenant_id, user_id, method)
);
