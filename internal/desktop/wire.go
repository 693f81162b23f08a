package desktop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/unixpeer"
)

// Request is one line of JSON that a program sends to the broker. Unknown
// members are passed over, so that an older broker answers a newer program.
type Request struct {
	Do       string `json:"do"` // "token", "header" or "status"
	Resource string `json:"resource,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Client   string `json:"client,omitempty"`
	URL      string `json:"url,omitempty"` // of a header
}

// Response is the line that comes back: one of its members.
type Response struct {
	Token  *agent.TokenResult  `json:"token,omitempty"`
	Header *agent.HeaderResult `json:"header,omitempty"`
	Status *Standing           `json:"status,omitempty"`
	Error  *Failure            `json:"error,omitempty"`
}

// Standing is how somebody stands with the device, as far as their own
// programs need to know.
type Standing struct {
	User     string    `json:"userPrincipalName"`
	Server   string    `json:"server"`
	SignedIn bool      `json:"signedIn"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Failure is why there is no answer.
type Failure struct {
	Text   string `json:"text"` // a sentence for the person
	Reason string `json:"reason,omitempty"`
	Code   int    `json:"code,omitempty"` // AADSTS number, when the server gave one
}

func (f *Failure) Error() string { return f.Text }

// failed tells a program what it may know of an error.
func failed(err error) Response {
	e := idp.AsError(err)
	text := e.Public
	if text == "" {
		text = "the device's broker has a fault of its own; its log says more"
	}
	return Response{Error: &Failure{Text: text, Reason: e.Reason, Code: e.Code}}
}

// Limits of a message and of the time that one takes.
const (
	maxMessage = 64 << 10
	dialTime   = 2 * time.Second
	askTime    = 45 * time.Second
)

// Ask sends one request to the broker at a socket. What the broker refuses is
// a *Failure; that there is none at all is Unavailable; and a broker of another
// account than root's or one's own is Denied: what it answers would sign a
// browser in as whom it likes.
func Ask(ctx context.Context, socket string, r Request) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTime}
	c, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return Response{}, idp.Unavailablef("no_broker", "%w", err).Say("the device's broker does not run: signet device broker")
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	uid, err := unixpeer.UID(c)
	if err != nil {
		return Response{}, fmt.Errorf("ask the broker: %w", err)
	}
	if err := trusted(uid); err != nil {
		return Response{}, err
	}
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return Response{}, fmt.Errorf("ask the broker: %w", err)
	}
	var out Response
	line, err := readLine(bufio.NewReaderSize(c, 4096))
	if err != nil {
		return Response{}, fmt.Errorf("read the broker's answer: %w", err)
	}
	if err := json.Unmarshal(line, &out); err != nil {
		return Response{}, fmt.Errorf("read the broker's answer: %w", err)
	}
	if out.Error != nil {
		return Response{}, out.Error
	}
	return out, nil
}

// trusted says whether a broker that runs as uid is this account's or the
// machine's.
func trusted(uid uint32) error {
	if uid != 0 && int(uid) != os.Geteuid() {
		return idp.Deniedf("broker_stranger", "broker of uid %d", uid).Say("the broker at that socket is another account's, and is not asked")
	}
	return nil
}

var errTooLong = errors.New("the message is too long")

// readLine reads one line of at most maxMessage bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxMessage:
			return nil, errTooLong
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
