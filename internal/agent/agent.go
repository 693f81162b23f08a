package agent

import (
	"context"
	"errors"
	"os/exec"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Config is what an Agent needs.
type Config struct {
	// Folder is where the state is kept; it is made with mode 0700.
	Folder string
	// TPM is the path of a TPM to join with; empty: DefaultTPM. A device that
	// has joined keeps to the one it joined with, unless another path is
	// named (the same TPM may have another name after an upgrade).
	TPM string
	Now func() time.Time
	// Child makes the process that ends up in UnwrapSessionKey: this program,
	// with the arguments that lead there.
	Child func(context.Context) *exec.Cmd
	// Step is told each thing that is about to be written or was done, by a
	// name; nil: nobody. Tests end the process there.
	Step func(string)
}

// Agent is a device. Its methods may be called one after another for as long
// as a process lives, from any goroutine; a lock on the state keeps them, and
// those of other processes, apart. Errors that a person can do something about
// are idp.Errors whose Public text says what.
type Agent struct {
	cfg   Config
	store *store
}

// New opens the state folder. There need be no device yet.
func New(cfg Config) (*Agent, error) {
	s, err := openStore(cfg.Folder)
	if err != nil {
		return nil, err
	}
	if cfg.Step != nil {
		s.step = cfg.Step
	}
	return &Agent{cfg: cfg, store: s}, nil
}

// work is what one call has in its hands: the state behind its lock, the place
// of the keys, the server.
type work struct {
	*Agent
	st     *state
	vault  vault
	remote *remote
	now    time.Time
}

// during runs fn behind the lock, with the state as it is, and notes a failure
// for Status.
func (a *Agent) during(ctx context.Context, doing string, fn func(*work) error) error {
	unlock, err := a.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	st, err := a.store.load()
	if err != nil {
		return err
	}
	w := &work{Agent: a, st: st, now: a.cfg.Now()}
	defer w.close()
	err = fn(w)
	switch {
	case err != nil && (st.Device != nil || st.Joining != nil):
		st.Last = noted(w.now, doing, err)
	case err == nil && st.Last != nil && st.Last.Doing == doing && st.Device != nil:
		st.Last = nil
	default:
		return err
	}
	if serr := a.store.save(st, "note"); err == nil {
		err = serr
	}
	return err
}

func noted(now time.Time, doing string, err error) *failure {
	e := idp.AsError(err)
	f := &failure{At: now, Doing: doing, Text: e.Public, Reason: e.Reason, Code: e.Code}
	if f.Text == "" {
		f.Text = err.Error()
	}
	return f
}

func (w *work) close() {
	if w.vault != nil {
		w.vault.Close()
	}
}

func (w *work) save(why string) error { return w.store.save(w.st, why) }

// keys opens the place where this device's keys are.
func (w *work) keys() error {
	if w.vault != nil {
		return nil
	}
	if w.st.Place == InSoftware {
		w.vault = software{}
		return nil
	}
	path := w.cfg.TPM
	if path == "" {
		path = w.st.TPM
	}
	if path == "" {
		path = DefaultTPM
	}
	t, err := openTPM(path, w.st.Storage)
	if err != nil {
		return err
	}
	t.child = w.cfg.Child
	w.vault = t
	w.st.TPM = path
	return nil
}

// server makes the way to the server.
func (w *work) server() error {
	if w.remote != nil {
		return nil
	}
	var err error
	w.remote, err = newRemote(w.st.CA)
	return err
}

// ready opens keys and server of a device that has joined.
func (w *work) ready() error {
	if w.st.Device == nil {
		return errNotJoined()
	}
	if w.st.Leaving {
		return idp.Conflictf("leaving", "a leave was cut off").Say("this device is leaving: finish that with signet device leave")
	}
	if err := w.keys(); err != nil {
		return err
	}
	return w.server()
}

func errNotJoined() error {
	return idp.NotFoundf("not_joined", "no device").Say("this machine has not joined: signet device join --server https://id.example.com")
}

// reachable asks the server for its addresses anew; those of last time do when
// it does not say.
func (w *work) reachable(ctx context.Context) error {
	e, err := w.remote.discover(ctx, w.st.Server, w.st.Endpoints.Tenant)
	if err == nil {
		err = w.remote.services(ctx, w.st.Server, w.st.Endpoints.Tenant, &e)
	}
	if errors.Is(err, idp.Unavailable) {
		return err
	}
	if err == nil {
		w.st.Endpoints = e
	}
	return nil
}

// refusal finds what the server said in an error; nil: it did not say it.
func refusal(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}

// key errors of a loaded blob mean that the TPM is another one, or was cleared
// and has the same name by accident of a restored state.
func foreign(err error) error {
	if !errors.Is(err, errForeign) || errors.As(err, new(*idp.Error)) {
		return err
	}
	return idp.Deniedf("tpm_other", "%w", err).
		Say("the keys of this device are not of this TPM: it was cleared or exchanged. " + joinAgain)
}
