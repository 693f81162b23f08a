package admin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb"
)

// KEK has the key-encryption keys of a node and can replace the one in use
// (security.md KEY02).
type KEK interface {
	Status(context.Context) (KEKs, error)
	// Add takes a key in that is to take over: the one in text, or when that is
	// empty the one in its file, or else a fresh one.
	Add(ctx context.Context, text string) (s KEKs, made bool, err error)
	// Rewrap lets it take over, or with dry tries that.
	Rewrap(ctx context.Context, dry bool, note keyring.Note, progress func(int)) (s KEKs, done int, err error)
	// Finish puts it in the place of the old one, which is in the file old then.
	Finish(context.Context) (s KEKs, old string, err error)
}

// KEKs tells how the key-encryption keys stand, in the database and on this
// node.
type KEKs struct {
	keyring.KEKs
	File    string // where this node has its key
	InFile  string // the id of that key
	NewFile string // where the key that is to take over is; empty: there is none
	New     string // the id of that key
}

type kekView struct {
	State string         `json:"state"`
	Now   string         `json:"inUse"`
	Since string         `json:"since,omitempty"`
	Next  string         `json:"takingOver,omitempty"`
	Needs []kekNeedView  `json:"needs"`
	Place kekPlaceView   `json:"here"`
	Nodes []kekServeView `json:"servers"`
	Say   string         `json:"say"`
}

type kekNeedView struct {
	KEK  string `json:"key"` // empty: not known
	Keys int64  `json:"keys"`
}

type kekPlaceView struct {
	File    string `json:"keyFile"`
	InFile  string `json:"key"`
	NewFile string `json:"newKeyFile,omitempty"`
	New     string `json:"newKey,omitempty"`
}

type kekServeView struct {
	Place string   `json:"server"`
	KEKs  []string `json:"keys"`
	Seen  string   `json:"seen"`
}

// The states of a replacement, in order.
const (
	kekSettled  = "settled"  // nothing is to be replaced
	kekPrepared = "prepared" // a new key is here, and nothing is sealed under it
	kekReplaced = "rewrap"   // some is sealed under the new key, some under the old one
	kekPlaced   = "finish"   // all is sealed under the new key, which is not in its place here
)

func viewKEKs(s KEKs) kekView {
	v := kekView{
		Now: s.Now, Next: s.Next, Needs: []kekNeedView{}, Nodes: []kekServeView{},
		Place: kekPlaceView{File: s.File, InFile: s.InFile, NewFile: s.NewFile, New: s.New},
	}
	if !s.Since.IsZero() {
		v.Since = stamp(s.Since)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Keys)) {
		v.Needs = append(v.Needs, kekNeedView{id, s.Keys[id]})
	}
	for _, n := range s.Nodes {
		v.Nodes = append(v.Nodes, kekServeView{n.Place, n.KEKs, stamp(n.Seen)})
	}
	v.State, v.Say = s.state()
	return v
}

// state says how far a replacement is, and what is next.
func (s KEKs) state() (state, say string) {
	var behind []string
	for _, n := range s.Nodes {
		if len(n.KEKs) > 0 && n.KEKs[0] != s.Now {
			behind = append(behind, n.Place)
		}
	}
	switch lack := s.Without(s.New); {
	case s.Next != "":
		return kekReplaced, "The new key is taking over, and the old one is still needed. Run signet admin kek rewrap to its end."
	case s.Now != s.InFile:
		return kekPlaced, "Nothing needs the old key any more. Run signet admin kek finish, on every server."
	case s.New != "" && len(lack) > 0:
		return kekPrepared, "The new key is here, and nothing is sealed under it yet. Give it to these servers, too, with signet admin kek add: " + strings.Join(lack, ", ") + "."
	case s.New != "":
		return kekPrepared, "The new key is here, and nothing is sealed under it yet. Keep a copy of it elsewhere, and run signet admin kek rewrap."
	case len(behind) > 0:
		return kekSettled, "Nothing needs the old key any more. Run signet admin kek finish on these servers, too: " + strings.Join(behind, ", ") + "."
	}
	return kekSettled, "Everything is sealed under the key in use."
}

// keks is the part that replaces key-encryption keys.
func (c *call) keks() (KEK, error) {
	if c.KEK == nil {
		return nil, missing("key-encryption key")
	}
	return c.KEK, nil
}

func kekStatus(ctx context.Context, c *call, _ struct{}) (any, error) {
	k, err := c.keks()
	if err != nil {
		return nil, err
	}
	s, err := k.Status(ctx)
	return viewKEKs(s), err
}

type addKEKParams struct {
	Key string `json:"key"` // base64 or hex; empty: the one in its file, or a fresh one
}

type addedKEK struct {
	Made bool `json:"madeNewKey"`
	kekView
}

func addKEK(ctx context.Context, c *call, p addKEKParams) (any, error) {
	k, err := c.keks()
	if err != nil {
		return nil, err
	}
	s, made, err := k.Add(ctx, p.Key)
	return addedKEK{made, viewKEKs(s)}, err
}

type rewrapKEKParams struct {
	Dry bool `json:"dryRun"`
}

type rewrappedKEK struct {
	Dry  bool `json:"dryRun"`
	Keys int  `json:"keys"` // sealed anew by this call, or to be
	kekView
}

func rewrapKEK(ctx context.Context, c *call, p rewrapKEKParams) (any, error) {
	k, err := c.keks()
	if err != nil {
		return nil, err
	}
	s, done, err := k.Rewrap(ctx, p.Dry, c.noteKEK, c.progress)
	return rewrappedKEK{p.Dry, done, viewKEKs(s)}, err
}

// noteKEK is the record in each tenant whose keys are sealed anew.
func (c *call) noteKEK(ctx context.Context, tx *sqldb.Tx, whose []idp.TenantID) error {
	for _, t := range whose {
		e := c.event()
		e.Tenant, e.Category = t, audit.System
		if err := c.Audit.Write(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

type finishedKEK struct {
	Old string `json:"oldKeyFile,omitempty"`
	kekView
}

func finishKEK(ctx context.Context, c *call, _ struct{}) (any, error) {
	k, err := c.keks()
	if err != nil {
		return nil, err
	}
	s, old, err := k.Finish(ctx)
	return finishedKEK{old, viewKEKs(s)}, err
}
