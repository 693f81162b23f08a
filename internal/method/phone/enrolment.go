package phone

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Enrolment is one that is under way, for the page that began it.
type Enrolment struct {
	ID      string
	State   string    // EnrolmentOpen, …
	Phone   string    // its name, once it has answered
	System  string    // what it says that it runs on
	Words   []string  // two, once it has answered
	Expires time.Time // when it is over
}

// States of an Enrolment.
const (
	EnrolmentOpen     = "open"     // no phone has answered
	EnrolmentAnswered = "answered" // the words are to be compared
	EnrolmentDone     = "done"
	EnrolmentOver     = "over" // late, withdrawn, or begun anew
)

// Enrolment says how an enrolment of the person stands. What is not there, or
// not theirs, is over.
func (m *Room) Enrolment(ctx context.Context, t idp.TenantID, u idp.UserID, id string) (Enrolment, error) {
	out := Enrolment{ID: id, State: EnrolmentOver}
	e, err := findEnrolment(ctx, m.db, t, id)
	if errors.Is(err, idp.NotFound) || err == nil && e.user != u {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("find enrolment: %w", err)
	}
	out.Expires = e.expires
	switch {
	case e.state == enrolDone:
		out.State = EnrolmentDone
	case !m.cfg.Now().Before(e.expires):
		return out, nil
	case e.state == enrolOpen:
		out.State = EnrolmentOpen
	default:
		p, err := phoneByID(ctx, m.db, t, e.phone)
		if errors.Is(err, idp.NotFound) {
			return out, nil // it was taken back
		}
		if err != nil {
			return out, fmt.Errorf("phone of enrolment: %w", err)
		}
		out.State, out.Phone, out.System, out.Words = EnrolmentAnswered, p.name, p.platform, strings.Fields(e.words)
	}
	return out, nil
}

// Enrolled is closed when Enrolment may have something else to say, on any
// node. stop gives it back.
func (m *Room) Enrolled(_ context.Context, _ idp.TenantID, _ idp.UserID, id string) (changed <-chan struct{}, stop func()) {
	return m.hub.wait(id)
}

// WithdrawEnrolment ends an enrolment that its person does not want any more,
// or whose words differ, with the phone that waits in it. What is over stays so.
func (m *Room) WithdrawEnrolment(ctx context.Context, t idp.TenantID, u idp.UserID, id string) error {
	return m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := dropEnrolment(ctx, tx, t, u, id); err != nil {
			return err
		}
		return m.cfg.Bus.Publish(ctx, tx, topicEnrolment, id)
	})
}

// dropWaiting is WithdrawEnrolment by the phone.
func (m *Room) dropWaiting(ctx context.Context, tx *sqldb.Tx, p phoneRow) error {
	var id string
	err := tx.QueryRow(ctx, `select id from phone_enrolment where tenant_id = $1 and user_id = $2 and phone = $3`, p.tenant, p.user, p.id).Scan(&id)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if err := dropWaiting(ctx, tx, p); err != nil {
		return err
	}
	return m.cfg.Bus.Publish(ctx, tx, topicEnrolment, id)
}
