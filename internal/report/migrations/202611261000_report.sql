-- +goose Up
-- How many people have what as their strongest way in: a row a day (midnight
-- UTC) and class. counted is when, that day's last count.
create table report_day (
    tenant_id text   not null,
    day       bigint not null,
    class     text   not null,
    people    bigint not null,
    counted   bigint not null,
    primary key (tenant_id, day, class)
);
