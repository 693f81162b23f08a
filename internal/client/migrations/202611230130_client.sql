-- +goose Up
create table client (
    tenant_id        text    not null,
    id               text    not null,
    name             text    not null,
    name_folded      text    not null,
    kind             text    not null,
    redirect_uris    text    not null,
    post_logout_uris text    not null,
    response_modes   text    not null,
    grants           text    not null,
    auth             text    not null,
    jwks             text    not null,
    alg              text    not null,
    subject          text    not null,
    sector           text    not null,
    first_party      boolean not null,
    scopes           text    not null,
    acr              text    not null,
    enabled          boolean not null,
    created          bigint  not null,
    primary key (tenant_id, id)
);
create unique index client_id on client (id);
create unique index client_name on client (tenant_id, name_folded);
create index client_created on client (tenant_id, created, id);

create table client_secret (
    tenant_id text   not null,
    client_id text   not null,
    digest    bytea  not null,
    created   bigint not null,
    primary key (tenant_id, client_id, digest),
    foreign key (tenant_id, client_id) references client (tenant_id, id) on delete cascade
);

create table consent (
    tenant_id text   not null,
    user_id   text   not null,
    client_id text   not null,
    scopes    text   not null,
    granted   bigint not null,
    primary key (tenant_id, user_id, client_id)
);
create index consent_client on consent (tenant_id, client_id);
