-- +goose Up
create table phone (
	tenant_id text   not null,
	id        text   not null,
	user_id   text   not null,
	state     text   not null, -- waiting, active
	name      text   not null,
	platform  text   not null,
	app       text   not null,
	spki      bytea  not null, -- the installation's public key
	passkey   text   not null, -- id of the credential, whose row is the passkey room's
	push_kind text   not null, -- empty: none
	push      bytea  not null, -- sealed push.Target
	address   text   not null, -- where the phone last asked from
	created   bigint not null,
	last_used bigint not null, -- 0: never
	seen      bigint not null, -- when it last asked
	primary key (tenant_id, id)
);
create index phone_user on phone (tenant_id, user_id, created);
create unique index phone_key on phone (tenant_id, spki);
create index phone_waiting on phone (created) where state = 'waiting';

-- How many phones a person holds: many who come at once take places one after
-- the other.
create table phone_holder (
	tenant_id text    not null,
	user_id   text    not null,
	held      bigint  not null,
	primary key (tenant_id, user_id)
);

create table phone_enrolment (
	tenant_id text   not null,
	id        text   not null,
	user_id   text   not null,
	session   text   not null, -- that it was begun in
	link      bytea  not null, -- digest of the code of the link
	typed     bytea  not null, -- HMAC of the code that is typed (decisions 1.5)
	state     text   not null, -- open, answered, done
	keep      bytea  not null, -- of the passkey's ceremony, as opened last
	phone     text   not null, -- that answered; empty: none yet
	answer    bytea  not null, -- what its passkey said, verified
	words     text   not null,
	created   bigint not null,
	expires   bigint not null,
	primary key (tenant_id, id)
);
create unique index phone_enrolment_link on phone_enrolment (link);
create unique index phone_enrolment_typed on phone_enrolment (typed);
create index phone_enrolment_user on phone_enrolment (tenant_id, user_id);
create index phone_enrolment_expires on phone_enrolment (expires);

-- subject is the user that is asked, or what stands for a name that nobody has.
create table phone_request (
	tenant_id text    not null,
	id        text    not null,
	subject   text    not null,
	browser   bytea   not null,
	known     boolean not null,
	address   text    not null,
	number    text    not null,
	nonce     bytea   not null,
	context   text    not null,
	state     text    not null, -- pending, approved, denied, reported, wrong_number, cancelled, expired, consumed, silent
	phone     text    not null, -- that answered
	told      bigint  not null, -- how often phones are to be told
	sent      bigint  not null, -- how often they were
	created   bigint  not null,
	expires   bigint  not null,
	answered  bigint  not null, -- 0: not
	primary key (tenant_id, id)
);
create unique index phone_request_open on phone_request (tenant_id, subject) where state = 'pending';
create index phone_request_subject on phone_request (tenant_id, subject, created);
create index phone_request_expires on phone_request (expires);
create index phone_request_untold on phone_request (created) where state = 'pending' and sent < told;

-- Whoever asks for a subject takes its row first, so that what is counted of it
-- counts, on however many nodes it is asked for at once.
create table phone_asked (
	tenant_id text   not null,
	subject   text   not null,
	last      bigint not null,
	primary key (tenant_id, subject)
);
create index phone_asked_last on phone_asked (last);

-- What a report has closed: address empty is all of them.
create table phone_block (
	tenant_id text   not null,
	user_id   text   not null,
	address   text   not null,
	created   bigint not null,
	expires   bigint not null, -- 0: until an administrator lifts it
	primary key (tenant_id, user_id, address)
);
create index phone_block_expires on phone_block (expires);
