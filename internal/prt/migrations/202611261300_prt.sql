-- +goose Up
-- id is a UUIDv7 and the whole key, so that rows are appended in order. ends is
-- the absolute end, expires the sliding one. Neither the token nor its session
-- key is here.
create table prt (
    id         text not null primary key,
    tenant_id  text not null,
    user_id    text not null,
    device_id  text not null,
    proofs     text not null,
    proof_time bigint not null,
    mfa_time   bigint not null,
    direct     boolean not null,
    protocol   text not null,
    kdf        bigint not null,
    generation bigint not null,
    issued     bigint not null,
    renewed    bigint not null,
    seen       bigint not null,
    expires    bigint not null,
    ends       bigint not null,
    agent      text not null,
    ip         text not null,
    epoch      bigint not null,
    ended      bigint not null
);
create index prt_of_user on prt (tenant_id, user_id);
create index prt_of_device on prt (tenant_id, device_id);
