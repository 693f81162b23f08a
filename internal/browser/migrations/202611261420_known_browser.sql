-- +goose Up
-- A browser in which a person has proven themselves phishing-resistantly.
-- digest is of the browser's cookie, key the SubjectPublicKeyInfo of the key
-- that its scripts can use and not read.
create table known_browser (
    tenant_id text not null,
    id        text not null,
    user_id   text not null,
    digest    bytea not null,
    key       bytea not null,
    agent     text not null,
    created   bigint not null,
    last_used bigint not null,
    expires   bigint not null,
    primary key (tenant_id, id)
);
create unique index known_browser_user on known_browser (tenant_id, user_id, digest);
create index known_browser_digest on known_browser (tenant_id, digest);
create index known_browser_expires on known_browser (expires);
