package directory

import (
	"strings"
	"unicode/utf8"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"

	"golang.org/x/text/cases"
)

// Longest names, as Graph has them for userPrincipalName and displayName.
const (
	maxUserName = 113
	maxLocal    = 64
	maxDisplay  = 256
	maxDomain   = 253
)

// Fold makes of a user principal name, group name or domain what names are
// compared by. Names are ASCII where they are compared with what strangers
// type, so folding is lower case and nothing clever.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.TrimSpace(name))
}

// splitUserName takes a user principal name apart and checks its form; the
// caller checks whose the domain is.
func splitUserName(name string) (local, domain string, err error) {
	bad := func(say string) error {
		return idp.Invalidf("bad_user_name", "user principal name %q", audit.Clean(name, 150)).On("userPrincipalName").Say(say)
	}
	if len(name) > maxUserName {
		return "", "", bad("A user name may have 113 characters.")
	}
	at := strings.LastIndexByte(name, '@')
	if at <= 0 || at == len(name)-1 {
		return "", "", bad("A user name looks like ada@contoso.example.")
	}
	local, domain = name[:at], name[at+1:]
	if len(local) > maxLocal {
		return "", "", bad("The part before the @ may have 64 characters.")
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") || strings.ContainsFunc(local, notLocal) {
		return "", "", bad("The part before the @ may have letters a to z, digits and . - _ ' ! # ^ ~, and no dot at its ends.")
	}
	return local, domain, nil
}

func notLocal(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_'!#^~", r))
}

// checkDomain gives the folded form of a domain name, or Invalid.
func checkDomain(domain string) (string, error) {
	d := Fold(domain)
	bad := idp.Invalidf("bad_domain", "domain %q", audit.Clean(domain, 100)).On("domain").
		Say("A domain name looks like contoso.example: letters a to z, digits, hyphens and at least one dot.")
	if len(d) > maxDomain || !strings.Contains(d, ".") {
		return "", bad
	}
	labels := strings.Split(d, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notLabel) {
			return "", bad
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", bad // an address, not a name
	}
	return d, nil
}

func notLabel(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }

// checkText cleans a name that people read: spaces around it go, and so do
// controls and characters that turn text around or show nothing (T46 and the
// pages rely on it). field names the input in the error.
func checkText(field, text string) (string, error) {
	text = clean(text)
	if text == "" {
		return "", idp.Invalidf("empty_name", "%s is empty", field).On(field).Say(field + " must not be empty.")
	}
	if utf8.RuneCountInString(text) > maxDisplay {
		return "", idp.Invalidf("long_name", "%s of %d characters", field, utf8.RuneCountInString(text)).On(field).
			Say(field + " may have 256 characters.")
	}
	return text, nil
}

const maxDescription = 1024

// checkDescription is checkText for what may be empty and longer.
func checkDescription(text string) (string, error) {
	text = clean(text)
	if n := utf8.RuneCountInString(text); n > maxDescription {
		return "", idp.Invalidf("long_description", "description of %d characters", n).On("description").Say("description may have 1024 characters.")
	}
	return text, nil
}

func clean(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case audit.Unprintable(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, text)), " ")
}

// foldText is what names that people read are compared by: group names may
// hold any letters, and nobody signs in with one.
func foldText(name string) string { return cases.Fold().String(strings.TrimSpace(name)) }
