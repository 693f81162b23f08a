package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/signetid/signet/internal/idp"
)

// File is one file of a form.
type File struct {
	Name string // as the browser calls it; only to be shown
	Body []byte
}

// Bounds of a form with files, besides the size of its body.
const (
	maxParts = 2000
	maxFiles = 300
)

// Upload reads a form of at most limit bytes, with or without files: as
// multipart/form-data (RFC 7578) or as Lists does. All of it is in memory, so
// limit is what one request may take. A field of a file that was left empty is
// no file.
func Upload(w http.ResponseWriter, r *http.Request, limit int64) (url.Values, []File, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		v, err := listsWithin(w, r, limit)
		return v, nil, err
	}
	if params["boundary"] == "" {
		return nil, nil, idp.Invalidf("malformed_form", "no boundary").Say("The form could not be read.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, nil, badParts(err, limit)
	}
	v, n := url.Values{}, 0
	var files []File
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && n > 0 { // at once: all of it is no part
			return v, files, nil
		}
		if err != nil {
			return nil, nil, badParts(err, limit)
		}
		if n++; n > maxParts || len(files) > maxFiles {
			return nil, nil, badParts(fmt.Errorf("over %d fields or %d files", maxParts, maxFiles), limit)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, nil, badParts(err, limit)
		}
		_, disposed, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if _, file := disposed["filename"]; !file {
			v.Add(part.FormName(), string(body))
		} else if part.FileName() != "" || len(body) > 0 {
			files = append(files, File{Name: part.FileName(), Body: body})
		}
	}
}

func badParts(err error, limit int64) error {
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return tooLarge(limit)
	}
	return idp.Invalidf("malformed_form", "%w", err).Say("The form could not be read.")
}

func tooLarge(limit int64) error {
	return idp.Invalidf("body_too_large", "body over %d bytes", limit).Say("The body is too large.")
}
