-- +goose Up

-- Of a key that says it is the macOS Platform Credential: the SHA-256 of its
-- SubjectPublicKeyInfo; else nothing. bound says that its person had a Platform
-- Credential with this public key when it was registered: it proves them for as
-- long as that one does.
alter table passkey add column platform_print bytea not null default '';
alter table passkey add column platform_bound boolean not null default false;
