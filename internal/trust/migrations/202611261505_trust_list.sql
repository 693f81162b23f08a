-- +goose Up

-- What is known of a list of revocations that an authority has, and of how it
-- was got. The list itself lies beside, since it is long and seldom read.
create table trust_list (
    tenant_id    text   not null,
    authority_id text   not null,
    kind         text   not null, -- complete, delta
    url          text   not null, -- where it was last asked for
    version      bigint not null, -- counts the lists that came
    number       text   not null, -- CRL number, decimal; empty: there is none yet
    entries      bigint not null,
    bytes        bigint not null, -- of the file
    this_update  bigint not null,
    next_update  bigint not null,
    etag         text   not null,
    modified     text   not null, -- Last-Modified
    tried        bigint not null,
    succeeded    bigint not null, -- 0: never
    failed       bigint not null, -- 0: never
    failure      text   not null, -- why the last try failed; empty: it did not
    failures     bigint not null, -- in a row
    due          bigint not null, -- when it is asked for again
    primary key (tenant_id, authority_id, kind)
);

create table trust_list_body (
    tenant_id    text  not null,
    authority_id text  not null,
    kind         text  not null,
    body         bytea not null, -- as pkix stores it
    primary key (tenant_id, authority_id, kind)
);
