-- +goose Up

-- Why a key's model is only claimed ('' when it is attested, or was never
-- judged), and by which list of models that was judged.
alter table passkey add column trust text not null default '';
alter table passkey add column trust_number bigint not null default 0;
