-- +goose Up

-- One row a tenant: its lock for changes, and how many there were.
create table trust_store (
    tenant_id text   not null primary key,
    version   bigint not null
);

-- What Graph keeps authorities in. They all serve together.
create table trust_container (
    tenant_id text   not null,
    id        text   not null,
    name      text   not null,
    created   bigint not null,
    changed   bigint not null,
    removed   bigint not null, -- 0: it is there
    primary key (tenant_id, id)
);

create table trust_authority (
    tenant_id    text    not null,
    id           text    not null,
    container_id text    not null,
    name         text    not null,
    cert         bytea   not null, -- DER
    thumbprint   text    not null, -- SHA-256 of cert, hex
    root         boolean not null,
    enabled      boolean not null,
    crl          text    not null,
    delta        text    not null,
    ocsp         text    not null,
    hint         boolean not null,
    created      bigint  not null,
    changed      bigint  not null,
    removed      bigint  not null, -- 0: it is there
    version      bigint  not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, container_id) references trust_container (tenant_id, id)
);
-- One certificate is one authority of a tenant. One that was removed may come
-- again.
create unique index trust_authority_cert on trust_authority (tenant_id, thumbprint) where removed = 0;
create index trust_authority_removed on trust_authority (removed) where removed > 0;
