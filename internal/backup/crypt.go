package backup

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Keys are what a backup is encrypted to, or opened with.
type Keys struct {
	Recipients []string // age1…: backup
	Identities string   // the text of an identity file: restore
	Passphrase string   // instead of either
}

// NewIdentity makes a key pair: the identity file, to be kept away from the
// server, and the recipient that the server needs.
func NewIdentity() (file, recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("make a backup key: %w", err)
	}
	recipient = id.Recipient().String()
	return "# Opens backups made for " + recipient + "\n" + id.String() + "\n", recipient, nil
}

func (k Keys) recipients() ([]age.Recipient, error) {
	if k.Passphrase != "" {
		if len(k.Recipients) > 0 {
			return nil, errors.New("a backup is encrypted to recipients or to a passphrase, not to both")
		}
		r, err := age.NewScryptRecipient(k.Passphrase)
		return []age.Recipient{r}, err
	}
	var all []age.Recipient
	for _, text := range k.Recipients {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%q is no recipient, which starts with age1: make one with signet admin backup-key", text)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New("a backup needs a recipient or a passphrase: make a key with signet admin backup-key")
	}
	return all, nil
}

func (k Keys) identities() ([]age.Identity, error) {
	if k.Passphrase != "" {
		id, err := age.NewScryptIdentity(k.Passphrase)
		return []age.Identity{id}, err
	}
	ids, err := age.ParseIdentities(strings.NewReader(k.Identities))
	if err != nil {
		// age's own error quotes nothing of the file.
		return nil, errors.New("the identity file holds no key: it should have a line that starts with AGE-SECRET-KEY-")
	}
	return ids, nil
}

// sealer compresses and encrypts what is written to it.
type sealer struct {
	*gzip.Writer
	outer io.WriteCloser
}

func (k Keys) seal(w io.Writer) (*sealer, error) {
	to, err := k.recipients()
	if err != nil {
		return nil, err
	}
	outer, err := age.Encrypt(w, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return &sealer{gzip.NewWriter(outer), outer}, nil
}

// Close finishes the file; without it a backup does not open.
func (s *sealer) Close() error {
	return errors.Join(s.Writer.Close(), s.outer.Close())
}

func (k Keys) open(r io.Reader) (io.Reader, error) {
	ids, err := k.identities()
	if err != nil {
		return nil, err
	}
	inner, err := age.Decrypt(r, ids...)
	if wrong := (*age.NoIdentityMatchError)(nil); errors.As(err, &wrong) {
		return nil, errors.New("this key does not open this backup: use the identity that belongs to its recipient")
	}
	if err != nil {
		return nil, fmt.Errorf("this is no backup, or a damaged one: %w", err)
	}
	plain, err := gzip.NewReader(inner)
	if err != nil {
		return nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	return plain, nil
}
