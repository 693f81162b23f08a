package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

// Assets serves embedded files under addresses that contain a hash of their
// content, so that browsers may keep them for ever and a new version is a new
// address.
type Assets struct {
	prefix string
	urls   map[string]string // name → address
	files  map[string]asset  // address → file
}

type asset struct {
	kind string
	body []byte
	// zip is body as gzip, nil where that saves nothing: made when somebody
	// first asks for the file, since a server starts with all of them.
	zip func() []byte
}

// NewAssets reads all files of the sources; prefix is where they are served,
// with slashes at both ends: "/assets/". A name in two sources is an error.
//
// ES modules import one another by name ("./passkey.js"): such a name inside a
// .js file is replaced by the hashed address of the file it names, so imported
// files must not import back.
func NewAssets(prefix string, sources ...fs.FS) (*Assets, error) {
	a := &Assets{prefix: prefix, urls: map[string]string{}, files: map[string]asset{}}
	raw := map[string][]byte{}
	for _, src := range sources {
		err := fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if _, twice := raw[path.Base(name)]; twice {
				return fmt.Errorf("asset %s is there twice", name)
			}
			raw[path.Base(name)], err = fs.ReadFile(src, name)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for name := range raw {
		if err := a.add(name, raw, nil); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add hashes one file, after the files it imports.
func (a *Assets) add(name string, raw map[string][]byte, above []string) error {
	if _, done := a.urls[name]; done {
		return nil
	}
	for _, n := range above {
		if n == name {
			return fmt.Errorf("asset %s imports itself through %s", name, strings.Join(above, ", "))
		}
	}
	body := raw[name]
	if path.Ext(name) == ".js" {
		for other := range raw {
			quoted := []byte(`"./` + other + `"`)
			if !bytes.Contains(body, quoted) {
				continue
			}
			if err := a.add(other, raw, append(above, name)); err != nil {
				return err
			}
			body = bytes.ReplaceAll(body, quoted, []byte(`"`+a.urls[other]+`"`))
		}
	}
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	url := a.prefix + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	a.urls[name], a.files[url] = url, asset{kind: kindOf(ext), body: body, zip: sync.OnceValue(func() []byte { return zipped(body) })}
	return nil
}

// kindOf knows the few kinds that doors have. The tables of the machine are not
// asked: they are large, and differ.
func kindOf(ext string) string {
	switch ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".woff2":
		return "font/woff2"
	}
	return "application/octet-stream"
}

// URL is the address of the named file; it panics for a name that is not
// there, which a test of the page that names it will show.
func (a *Assets) URL(name string) string {
	url, ok := a.urls[name]
	if !ok {
		panic("web: no asset " + name)
	}
	return url
}

// ServeHTTP serves the files; everything else is 404.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Add("Vary", "Accept-Encoding")
	if takesGzip(r) {
		if small := f.zip(); small != nil {
			h.Set("Content-Encoding", "gzip")
			w.Write(small)
			return
		}
	}
	w.Write(f.body)
}

// URLs are the addresses of all files, sorted.
func (a *Assets) URLs() []string { return slices.Sorted(maps.Values(a.urls)) }
