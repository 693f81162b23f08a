package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
)

// Zip has the replies of next compressed for those who take gzip. It is for
// pages that are the same for everybody: of a page that holds a secret beside
// something a stranger chose, the compressed length tells the secret.
func Zip(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !takesGzip(r) || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		z := &zipper{ResponseWriter: w}
		next.ServeHTTP(z, r)
		if z.gz != nil {
			z.gz.Close() // a peer that has gone away is nobody's error
		}
	})
}

// zipper compresses replies with status 200 and leaves others as they are.
type zipper struct {
	http.ResponseWriter
	gz   *gzip.Writer
	told bool
}

func (z *zipper) WriteHeader(status int) {
	z.told = true
	if h := z.Header(); status == http.StatusOK && h.Get("Content-Encoding") == "" {
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		z.gz = gzip.NewWriter(z.ResponseWriter)
	}
	z.ResponseWriter.WriteHeader(status)
}

func (z *zipper) Write(b []byte) (int, error) {
	if !z.told {
		z.WriteHeader(http.StatusOK)
	}
	if z.gz != nil {
		return z.gz.Write(b)
	}
	return z.ResponseWriter.Write(b)
}

// takesGzip reads Accept-Encoding (RFC 9110, Section 12.5.3). A weight of 0 is
// a no; other weights do not matter where gzip is all there is.
func takesGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimSpace(weight), "q=0.") != "" || strings.TrimSpace(weight) == ""
		}
	}
	return false
}

// zipped is body as gzip, or nil where that is not smaller by much: pictures.
func zipped(body []byte) []byte {
	var b bytes.Buffer
	gz, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil // the level is a constant that there is
	}
	gz.Write(body) // a buffer takes everything
	if gz.Close() != nil || b.Len() > len(body)*9/10 {
		return nil
	}
	return b.Bytes()
}
