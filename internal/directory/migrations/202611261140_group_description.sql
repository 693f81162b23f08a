-- +goose Up
alter table user_group add column description text not null default '';
