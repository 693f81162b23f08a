package desktop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/signetid/signet/internal/idp"
)

// HostName is the name by which browsers know the host of the extension.
const HostName = "org.signetid.device"

// The most that browsers let a message have in either direction is more; ours
// have one address, or one header.
const maxNative = 64 << 10

// native is what the extension says, and nativeReply what it hears.
type native struct {
	Type string `json:"type"` // "header"
	URL  string `json:"url"`
}

type nativeReply struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// Native serves one browser until it closes in: the host that the browser
// starts for the extension. header makes the header for an address. Nothing
// but messages may go to out.
func Native(ctx context.Context, in io.Reader, out io.Writer, header func(ctx context.Context, address string) (name, value string, err error)) error {
	for {
		m, err := readNative(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var r nativeReply
		switch u, perr := url.Parse(m.URL); {
		case m.Type != "header":
			r.Error = "this host makes headers"
		case perr != nil || u.Scheme != "https" && u.Scheme != "http":
			r.Error = "that is no address"
		default:
			if r.Name, r.Value, err = header(ctx, m.URL); err != nil {
				r = nativeReply{Error: said(err)}
			}
		}
		if err := writeNative(out, r); err != nil {
			return err
		}
	}
}

// said is what an error tells a person.
func said(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Text
	}
	if text := idp.AsError(err).Public; text != "" {
		return text
	}
	return "the device has a fault of its own"
}

func readNative(in io.Reader) (native, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return native{}, fmt.Errorf("read a message: %w", err)
		}
		return native{}, err
	}
	n := binary.NativeEndian.Uint32(size[:])
	if n > maxNative {
		return native{}, fmt.Errorf("read a message: %d bytes are too many", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return native{}, fmt.Errorf("read a message: %w", io.ErrUnexpectedEOF)
	}
	var m native
	if err := json.Unmarshal(body, &m); err != nil {
		return native{}, fmt.Errorf("read a message: %w", err)
	}
	return m, nil
}

func writeNative(out io.Writer, r nativeReply) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	framed := binary.NativeEndian.AppendUint32(nil, uint32(len(body)))
	if _, err := out.Write(append(framed, body...)); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	return nil
}
