-- +goose Up
-- Facts about the installation as a whole, the same for every tenant: the
-- epoch (decisions 1.7) and the mark of a demo's database (decisions 6.2).
create table installation (
    name  text not null primary key,
    value text not null
);
