// Package place says where an IP address is, as far as a table knows that the
// operator gives: country, the network (autonomous system) that it belongs to,
// and whether that is one of data centres. It asks nobody, and no table comes
// with it.
//
// Two forms are read, plain or compressed with gzip:
//
//   - tab-separated: start, end, AS number, country, name of the AS, as
//     ip2asn-combined.tsv of iptoasn.com;
//   - comma-separated: network in CIDR, country, and if known AS number, name,
//     and "hosting".
//
// That a network is one of data centres is not guessed by words in its name: it
// is said by the last column of the second form, or by a list of AS numbers
// beside the table.
//
// Specifications: passkeys-and-phone.md §6.4, §6.7; ISO 3166-1 alpha-2.
package place
