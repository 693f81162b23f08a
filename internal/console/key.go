package console

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// keyLives is how long the administrator has from pressing the button to
// touching the key.
const keyLives = 5 * time.Minute

// keyView is the page on which a key is made for somebody else, with the key
// plugged in here.
type keyView struct {
	Path, Back    string
	Name, KeyName string
	Show          string // options of WebAuthn; empty: not begun
	Problem       template.HTML
}

func (c *Console) keyPage(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	return v.keyPage(http.StatusOK, s, keyView{})
}

func (v *visit) keyPage(status int, s *someone, view keyView) error {
	view.Path, view.Back, view.Name = s.path()+"/key", s.path(), s.DisplayName
	pg := v.page("key", "", view)
	pg.Title = pg.T("key.title", "name", s.DisplayName)
	return v.show(status, pg)
}

func (v *visit) provisioning(s *someone) signin.Provisioning {
	return signin.Provisioning{Tenant: v.tenant.ID, Target: s.ID, Actor: string(v.user.ID), Method: policy.Passkey}
}

func (c *Console) keyBegin(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	view := keyView{KeyName: strings.TrimSpace(v.form.Get("name"))}
	begun, err := c.cfg.Corridor.BeginProvision(ctx, v.provisioning(s), keyLives, method.ChallengeShown, v.peer)
	if e := told400(err); e != nil {
		view.Problem = say(e)
		return v.keyPage(web.Status(e.Kind), s, view)
	}
	if err != nil {
		return err
	}
	view.Show = string(begun.Show)
	return v.keyPage(http.StatusOK, s, view)
}

func (c *Console) keyFinish(ctx context.Context, v *visit) error {
	s, err := v.helped(ctx)
	if err != nil {
		return err
	}
	payload := v.form.Get("payload")
	challenge, err := challengeOf(payload)
	if err != nil {
		return v.keyPage(http.StatusBadRequest, s, keyView{KeyName: v.form.Get("name"), Problem: v.words().T("key.nothing")})
	}
	_, err = c.cfg.Corridor.FinishProvision(ctx, v.provisioning(s), challenge, []byte(payload), v.peer)
	if err != nil {
		e := idp.AsError(err)
		switch e.Kind {
		case idp.Invalid, idp.Denied, idp.Conflict:
			return v.keyPage(web.Status(e.Kind), s, keyView{KeyName: v.form.Get("name"), Problem: say(e)})
		case idp.Unproven, idp.Expired:
			return v.keyPage(http.StatusBadRequest, s, keyView{KeyName: v.form.Get("name"), Problem: v.words().T("key.over")})
		}
		return err
	}
	return v.leave(s.path(), "provisioned")
}

// challengeOf finds the challenge in what the browser made of it.
func challengeOf(payload string) (string, error) {
	var in struct {
		Response struct {
			ClientDataJSON string `json:"clientDataJSON"`
		} `json:"response"`
	}
	if err := json.Unmarshal([]byte(payload), &in); err != nil {
		return "", err
	}
	return method.ChallengeSigned(in.Response.ClientDataJSON)
}
