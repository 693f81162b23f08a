package web_test

import (
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

const boundary = "b"

// parts is a multipart body as a browser writes it.
func parts(t testing.TB, fill func(*multipart.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func upload(kind string, body []byte, limit int64) (url.Values, []web.File, error) {
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return web.Upload(httptest.NewRecorder(), r, limit)
}

func file(t testing.TB, w *multipart.Writer, name, body string) {
	t.Helper()
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	part.Write([]byte(body))
}

func TestUpload(t *testing.T) {
	body := parts(t, func(w *multipart.Writer) {
		w.WriteField("a", "1")
		w.WriteField("a", "2")
		file(t, w, "x/../ca.pem", "hello")
		file(t, w, "", "") // a field that was left empty
	})
	v, files, err := upload("multipart/form-data; boundary="+boundary, body, 1<<16)
	if err != nil || len(v["a"]) != 2 || len(files) != 1 || files[0].Name != "ca.pem" || string(files[0].Body) != "hello" {
		t.Errorf("%v, %+v, %v", v, files, err)
	}
	if v, files, err = upload("application/x-www-form-urlencoded", []byte("a=1&a=2"), 100); err != nil || len(v["a"]) != 2 || files != nil {
		t.Errorf("%v, %+v, %v", v, files, err)
	}
}

// Each is refused for its own reason.
func TestUploadRefuses(t *testing.T) {
	good := parts(t, func(w *multipart.Writer) { file(t, w, "a", strings.Repeat("x", 500)) })
	many := parts(t, func(w *multipart.Writer) {
		for range 2001 {
			w.WriteField("a", "")
		}
	})
	files := parts(t, func(w *multipart.Writer) {
		for range 302 {
			file(t, w, "a", "b")
		}
	})
	multi := "multipart/form-data; boundary=" + boundary
	for name, c := range map[string]struct {
		kind   string
		body   []byte
		limit  int64
		reason string
	}{
		"too large":      {multi, good, 400, "body_too_large"},
		"large form":     {"application/x-www-form-urlencoded", []byte("a=" + strings.Repeat("x", 100)), 50, "body_too_large"},
		"other type":     {"application/json", []byte("{}"), 400, "wrong_content_type"},
		"no boundary":    {"multipart/form-data", good, 4000, "malformed_form"},
		"other one":      {"multipart/form-data; boundary=other", good, 4000, "malformed_form"},
		"cut off":        {multi, good[:len(good)-20], 4000, "malformed_form"},
		"many fields":    {multi, many, 1 << 20, "malformed_form"},
		"many files":     {multi, files, 1 << 20, "malformed_form"},
		"nothing at all": {multi, nil, 400, "malformed_form"},
	} {
		if _, _, err := upload(c.kind, c.body, c.limit); err == nil || idp.AsError(err).Reason != c.reason || idp.AsError(err).Kind != idp.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzUpload: whatever comes is read within its limit, or refused as Invalid.
func FuzzUpload(f *testing.F) {
	f.Add(parts(f, func(w *multipart.Writer) { w.WriteField("a", "1"); file(f, w, "n", "b") }))
	f.Add([]byte("--b\r\n\r\n\r\n--b--"))
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--b--\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, files, err := upload("multipart/form-data; boundary="+boundary, body, 4096)
		if err != nil {
			if idp.AsError(err).Kind != idp.Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		n := 0
		for name, all := range v {
			for _, one := range all {
				n += len(name) + len(one)
			}
		}
		for _, one := range files {
			n += len(one.Body)
		}
		if n > len(body) {
			t.Errorf("%d bytes out of %d", n, len(body))
		}
	})
}
