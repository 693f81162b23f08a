package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/macagent"
)

// life is a whole life in one go.
type life struct {
	where
	app    string
	groups []string
	keep   bool
}

func (l *life) lifeFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.app, "app", "", "address of an app to open by single sign-on")
	cmd.Flags().StringSliceVar(&l.groups, "group", nil, "name of a group whose membership the login asks for; may be given again")
	cmd.Flags().BoolVar(&l.keep, "keep", false, "stay registered in the end")
}

// live goes through it.
func (s *standIn) live(ctx context.Context, cmd *cobra.Command, m *macagent.Mac, l *life) error {
	in := newLines(cmd)
	token, err := s.register(ctx, cmd, m, &l.where, in)
	if err != nil {
		return err
	}
	if token == "" { // a registration token was enough for the device
		if token, err = s.signIn(ctx, cmd, m, &l.way, in); err != nil {
			return err
		}
	}
	if err := s.registerUser(ctx, m, token); err != nil {
		return err
	}
	steps := []func(context.Context, *macagent.Mac) error{
		s.login(l.groups), s.refresh, s.key, s.keyAgain, s.exchange(3), s.open(l.app), s.rotate(macagent.RotateOptions{Signing: true, Encryption: true}), s.login(nil),
	}
	now, err := m.Status()
	if err != nil {
		return err
	}
	if now.UserKey != "" { // the key of a card is not the Mac's to exchange
		steps = append(steps, s.rotateUser, s.login(nil))
	}
	for _, do := range append(steps, s.open(l.app), s.leave(l.keep)) {
		if err := do(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Each of these is one step.

func (s *standIn) login(groups []string) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		s.out.step("login")
		got, err := m.Login(ctx, macagent.LoginOptions{Groups: groups})
		if err != nil {
			return err
		}
		return s.out.result(got, sessionFields...)
	}
}

func (s *standIn) refresh(ctx context.Context, m *macagent.Mac) error {
	s.out.step("refresh")
	got, err := m.Refresh(ctx)
	if err != nil {
		return err
	}
	return s.out.result(got, sessionFields...)
}

var sessionFields = []string{"user=signed in", "name", "uniqueId=id", "groups", "by", "refreshTokenExpires=until"}

func (s *standIn) key(ctx context.Context, m *macagent.Mac) error {
	s.out.step("unlock key")
	return s.requestKey(ctx, m)
}

func (s *standIn) keyAgain(ctx context.Context, m *macagent.Mac) error {
	s.out.step("unlock key, asked for again")
	return s.requestKey(ctx, m)
}

func (s *standIn) requestKey(ctx context.Context, m *macagent.Mac) error {
	got, err := m.RequestKey(ctx)
	if err != nil {
		return err
	}
	return s.out.result(got, "userUnlockHash=unlock key", "notAfter=until", "keyContext=key context", "same=same as before")
}

func (s *standIn) exchange(count int) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		s.out.step("key exchanges, at the same time")
		got, err := m.ExchangeKeys(ctx, count)
		if err != nil {
			return err
		}
		return s.out.result(got, "count=exchanges", "equal=secrets are those computed here")
	}
}

func (s *standIn) open(address string) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		if address == "" {
			return nil
		}
		s.out.step("an app, opened by single sign-on")
		got, err := m.Open(ctx, address)
		if err != nil {
			return err
		}
		return s.out.result(got, "address", "status", "title", "extensionAnswered=extension answered", "claims")
	}
}

func (s *standIn) rotate(o macagent.RotateOptions) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		s.out.step("other device keys")
		got, err := m.Rotate(ctx, o)
		if err != nil {
			return err
		}
		return s.out.result(got, deviceFields...)
	}
}

func (s *standIn) rotateUser(ctx context.Context, m *macagent.Mac) error {
	s.out.step("another key of the person")
	got, err := m.RotateUserKey(ctx)
	if err != nil {
		return err
	}
	return s.out.result(got, personFields...)
}

// leave takes back the person's key and then the device.
func (s *standIn) leave(keep bool) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		if keep {
			return nil
		}
		now, err := m.Status()
		if err != nil {
			return err
		}
		if now.UserKey != "" {
			s.out.step("removal of the person's key")
			if err := m.RemoveUser(ctx); err != nil {
				return err
			}
		}
		return s.remove(false)(ctx, m)
	}
}

func (s *standIn) remove(force bool) func(context.Context, *macagent.Mac) error {
	return func(ctx context.Context, m *macagent.Mac) error {
		s.out.step("removal of the device")
		id, err := m.Remove(ctx, force)
		if err != nil {
			return err
		}
		return s.out.result(map[string]string{"deviceId": id}, "deviceId=removed")
	}
}
