package demo

import (
	"fmt"
	"io"
	"strings"
)

// Print tells a newcomer what to do, in the order of doing it.
func Print(w io.Writer, f Facts, data string) error {
	var b strings.Builder
	first := f.suggested()
	fmt.Fprintf(&b, `
Signet is running on this machine, with the organisation %s and a web app.

  1. Open the app         %s
     press "Sign in" and choose "Other ways", then the access pass:
       user name          %s
       access pass        %s
  2. Make a passkey when the page offers it, and use it once. The pass is spent.
  3. You are in the app. Sign out there and sign in again: one gesture.
  4. Your sign-in methods %s

`, f.TenantName, f.AppURL, first.UserName, first.AccessPass, f.AccountURL)
	b.WriteString("The others, each with a pass for one use within 24 hours:\n\n")
	for _, p := range f.Users {
		if p.UserName == first.UserName {
			continue
		}
		fmt.Fprintf(&b, "  %-28s %-14s %s\n", p.UserName, p.AccessPass, p.Role)
	}
	if f.TLSBaseURL != "" {
		fmt.Fprintf(&b, "\nDevices:          %s  (trust %s, for localhost only)", f.TLSBaseURL, f.CAFile)
	}
	fmt.Fprintf(&b, `
Administration:   %s/admin  (sign in as the administrator)
                  signet admin user list --data %s
A phone to try:   signet phone add --yes --server %s --code CODE
                  (the code is on the account page, under "Add a phone")
For your own app: issuer %s
Stop with Ctrl-C.

`, f.BaseURL, data, f.BaseURL, f.Issuer)
	_, err := io.WriteString(w, b.String())
	return err
}

// suggested is the first person without a role.
func (f Facts) suggested() PersonFact {
	for _, p := range f.Users {
		if p.Role == "" {
			return p
		}
	}
	return f.Users[0]
}
