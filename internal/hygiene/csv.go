package hygiene

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// Columns of the file, in their order.
const (
	colUser     = "userPrincipalName"
	colTenant   = "Tenant"
	colDevice   = "DeviceId"
	colUsage    = "Usage"
	colID       = "Id"
	colCreated  = "CreationTime"
	colRoca     = "RocaVulnerable"
	colOrphaned = "Orphaned"
	colLastUsed = "LastUsed"
)

// Header is the first line of the file.
var Header = []string{colUser, colTenant, colDevice, colUsage, colID, colCreated, colRoca, colOrphaned, colLastUsed}

// What one file may hold that is read.
const (
	MaxBytes = 16 << 20
	MaxRows  = 10_000
)

// CSV writes keys as lines of the file: RFC 4180, UTF-8, times in UTC (RFC
// 3339), True and False. header says whether the first line comes, too.
func CSV(w io.Writer, keys []Key, header bool) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if header {
		if err := out.Write(Header); err != nil {
			return err
		}
	}
	for _, k := range keys {
		err := out.Write([]string{
			web.Cell(k.UserName), web.Cell(k.Tenant), web.Cell(string(k.Device)), k.Usage, web.Cell(string(k.ID)), when(k.Created),
			truth(k.Roca), truth(k.Orphaned), when(k.LastUsed),
		})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// line is a row of a file that was read.
type line struct {
	number                          int
	user, tenant, device, usage, id string
}

// lines is a file as far as it could be read.
type lines struct {
	rows []line
	bad  []directory.BadRow
}

func (l *lines) complain(number int, field, reason string) {
	l.bad = append(l.bad, directory.BadRow{Line: number, Field: field, Reason: reason})
}

// parse reads a file of keys. userPrincipalName and Id must be there; columns
// that it does not know are passed over. What is wrong with rows is in the
// result; the error, which is Invalid, is for a file that has none.
func parse(file string) (*lines, error) {
	switch {
	case len(file) > MaxBytes:
		return nil, idp.Invalidf("file_too_large", "file over %d bytes", MaxBytes).Say("The file is larger than 16 MB. Split it.")
	case !utf8.ValidString(file):
		return nil, idp.Invalidf("bad_encoding", "file is not UTF-8").Say("The file is not UTF-8. Save it as CSV UTF-8.")
	}
	in := csv.NewReader(bytes.NewReader([]byte(strings.TrimPrefix(file, "\ufeff"))))
	in.FieldsPerRecord = -1 // counted below, with a better sentence
	header, err := in.Read()
	if err != nil {
		return nil, idp.Invalidf("empty_file", "header: %w", err).Say("The file has no header line. It starts with: " + strings.Join(Header, ",") + ".")
	}
	at, err := places(header)
	if err != nil {
		return nil, err
	}
	out := &lines{}
	if err := out.read(in, len(header), at); err != nil {
		return nil, err
	}
	return out, nil
}

// places says where each column is that is read.
func places(header []string) (map[string]int, error) {
	at := make(map[string]int)
	for i, h := range header {
		name := strings.TrimSpace(h)
		k := slices.IndexFunc(Header, func(c string) bool { return strings.EqualFold(c, name) })
		if k < 0 {
			continue
		}
		if _, twice := at[Header[k]]; twice {
			return nil, idp.Invalidf("column_twice", "column %s", Header[k]).On("header").Say("The column " + Header[k] + " is there twice.")
		}
		at[Header[k]] = i
	}
	for _, must := range []string{colUser, colID} {
		if _, ok := at[must]; !ok {
			return nil, idp.Invalidf("column_missing", "column %s", must).On("header").Say("The column " + must + " is missing.")
		}
	}
	return at, nil
}

func (l *lines) read(in *csv.Reader, width int, at map[string]int) error {
	seen := make(map[string]int)
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if broken := (*csv.ParseError)(nil); errors.As(err, &broken) {
			// Where a quotation mark is wrong, the next rows cannot be trusted.
			l.complain(broken.Line, "", "the line is not CSV: "+broken.Err.Error())
			return nil
		} else if err != nil {
			return err
		}
		if len(l.rows) >= MaxRows {
			return idp.Invalidf("too_many_rows", "file over %d rows", MaxRows).Say("The file has more than 10,000 rows. Split it.")
		}
		number, _ := in.FieldPos(0)
		r := line{number: number}
		if len(record) != width {
			l.complain(number, "", fmt.Sprintf("the line has %d fields, the header %d", len(record), width))
			l.rows = append(l.rows, r)
			continue
		}
		for column, to := range map[string]*string{colUser: &r.user, colTenant: &r.tenant, colDevice: &r.device, colUsage: &r.usage, colID: &r.id} {
			if i, ok := at[column]; ok {
				*to = strings.TrimSpace(web.Uncell(record[i]))
			}
		}
		r.id = l.once(r, seen)
		l.rows = append(l.rows, r)
	}
	if len(l.rows) == 0 {
		return idp.Invalidf("no_rows", "file without rows").Say("The file has no rows under its header.")
	}
	return nil
}

// once gives the id of a row, or "" after a complaint: no key is named, or one
// that was named before.
func (l *lines) once(r line, seen map[string]int) string {
	first, twice := seen[r.id]
	switch {
	case r.id == "":
		l.complain(r.number, colID, "no key is named")
	case strings.ContainsFunc(r.id, unicode.IsControl):
		l.complain(r.number, colID, "no key is called that")
	case twice:
		l.complain(r.number, colID, fmt.Sprintf("the same key is on line %d", first))
	default:
		seen[r.id] = r.number
		return r.id
	}
	return ""
}
