package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/sqldb"
)

// Metadata is the registry of key models as far as this door needs it.
type Metadata interface {
	Load(context.Context) error
	LoadFile(ctx context.Context, path string, note metadata.Note) (metadata.State, error)
	Refresh(ctx context.Context, note metadata.Note) (metadata.State, error)
	State(context.Context) (metadata.State, error)
	Search(text string, limit int) []metadata.Model
	Name(aaguid string) string
}

type metadataView struct {
	Condition  metadata.Condition `json:"condition"`
	Source     string             `json:"source"`
	Number     int64              `json:"number"`
	Models     int                `json:"models"`
	Skipped    int                `json:"skipped"`
	NextUpdate string             `json:"nextUpdate,omitempty"`
	Fetched    string             `json:"fetched,omitempty"`
	From       string             `json:"from,omitempty"`
	LastTry    string             `json:"lastTry,omitempty"`
	NextTry    string             `json:"nextTry,omitempty"`
	Result     string             `json:"result,omitempty"`
	Detail     string             `json:"detail,omitempty"`
	Failures   int64              `json:"failures"`
}

func viewMetadata(s metadata.State) metadataView {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return stamp(t)
	}
	return metadataView{
		Condition: s.Condition, Source: s.Source, Number: s.Number, Models: s.Models, Skipped: s.Skipped,
		NextUpdate: when(s.NextUpdate), Fetched: when(s.Fetched), From: s.From,
		LastTry: when(s.LastTry), NextTry: when(s.NextTry), Result: s.Result, Detail: s.Detail, Failures: s.Failures,
	}
}

// models gives the registry, with what other processes have stored.
func (c *call) models(ctx context.Context) (Metadata, error) {
	if c.Metadata == nil {
		return nil, missing("metadata")
	}
	return c.Metadata, c.Metadata.Load(ctx)
}

func metadataStatus(ctx context.Context, c *call, _ struct{}) (any, error) {
	m, err := c.models(ctx)
	if err != nil {
		return nil, err
	}
	s, err := m.State(ctx)
	return viewMetadata(s), err
}

type loadMetadataParams struct {
	File string `json:"file"` // absolute: the server's own folder is not the caller's
}

func loadMetadata(ctx context.Context, c *call, p loadMetadataParams) (any, error) {
	return c.newMetadata(ctx, func(m Metadata, note metadata.Note) (metadata.State, error) {
		return m.LoadFile(ctx, p.File, note)
	})
}

func refreshMetadata(ctx context.Context, c *call, _ struct{}) (any, error) {
	return c.newMetadata(ctx, func(m Metadata, note metadata.Note) (metadata.State, error) {
		return m.Refresh(ctx, note)
	})
}

// newMetadata takes a list in and, with it, tells every tenant, since the keys
// of all of them are judged by it.
func (c *call) newMetadata(ctx context.Context, take func(Metadata, metadata.Note) (metadata.State, error)) (any, error) {
	m, err := c.models(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := c.Directory.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	s, err := take(m, func(ctx context.Context, tx *sqldb.Tx, ch metadata.Change) error {
		for _, t := range tenants {
			e := c.event()
			e.Tenant = t.ID
			e.Detail["old"], e.Detail["new"], e.Detail["from"] = strconv.FormatInt(ch.Old, 10), strconv.FormatInt(ch.New, 10), ch.Source
			if err := c.Audit.Write(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	return viewMetadata(s), err
}

type searchParams struct {
	Text  string `json:"text"`
	Limit int    `json:"limit"`
}

type modelView struct {
	AAGUID        string           `json:"aaguid"`
	Name          string           `json:"name"`
	Vendor        string           `json:"vendor"`
	Certification string           `json:"certification"`
	FIPS          string           `json:"fips,omitempty"`
	Status        metadata.Verdict `json:"status"`
	Reason        string           `json:"reason,omitempty"`
	Source        metadata.Source  `json:"source"`
}

func searchModels(ctx context.Context, c *call, p searchParams) (any, error) {
	m, err := c.models(ctx)
	if err != nil {
		return nil, err
	}
	if p.Limit < 0 || p.Limit > 999 {
		return nil, idp.Invalidf("bad_limit", "limit %d", p.Limit).On("limit").Say("The limit must be between 1 and 999.")
	}
	if p.Limit == 0 {
		p.Limit = 100
	}
	views := []modelView{}
	for _, k := range m.Search(p.Text, p.Limit) {
		views = append(views, modelView{
			AAGUID: k.AAGUID, Name: k.Name, Vendor: k.Vendor, Certification: k.Certification, FIPS: k.FIPS,
			Status: k.Status.Verdict, Reason: k.Status.Word, Source: k.Source,
		})
	}
	return views, nil
}
