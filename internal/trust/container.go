package trust

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// firstContainer is what the one is called that is made when none is named.
const firstContainer = "Certificate authorities"

const containerColumns = `select tenant_id, id, name, created, changed, removed from trust_container `

// Containers lists those of a tenant in the order of their making.
func (s *Store) Containers(ctx context.Context, q sqldb.Querier, t idp.TenantID) ([]Container, error) {
	rows, err := q.Query(ctx, containerColumns+`where tenant_id = $1 and removed = 0 order by created, id`, t)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	defer rows.Close()
	var out []Container
	for rows.Next() {
		c, err := scanContainer(rows)
		if err != nil {
			return nil, fmt.Errorf("list containers: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// Container reads one, or is NotFound; one that was removed, too.
func (s *Store) Container(ctx context.Context, q sqldb.Querier, t idp.TenantID, id ContainerID) (Container, error) {
	c, err := scanContainer(q.QueryRow(ctx, containerColumns+`where tenant_id = $1 and id = $2 and removed = 0`, t, id))
	if errors.Is(err, idp.NotFound) {
		return Container{}, noContainer(id)
	}
	if err != nil {
		return Container{}, fmt.Errorf("load container %s: %w", id, err)
	}
	return c, nil
}

func scanContainer(r scanner) (Container, error) {
	var c Container
	var created, changed, removed int64
	if err := r.Scan(&c.Tenant, &c.ID, &c.Name, &created, &changed, &removed); err != nil {
		return Container{}, err
	}
	c.Created, c.Changed, c.Removed = moment(created), moment(changed), moment(removed)
	return c, nil
}

// CreateContainer makes a container. Denied beyond MaxContainers.
func (s *Store) CreateContainer(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, name string) (Container, error) {
	name, err := containerName(name)
	if err != nil {
		return Container{}, err
	}
	if err := lock(ctx, tx, t); err != nil {
		return Container{}, err
	}
	all, err := s.Containers(ctx, tx, t)
	if err != nil {
		return Container{}, err
	}
	if len(all) >= MaxContainers {
		return Container{}, idp.Deniedf("too_many_containers", "%d containers", len(all)).
			Say(fmt.Sprintf("A tenant may have %d containers of certificate authorities.", MaxContainers))
	}
	now := s.now()
	c := Container{ID: ContainerID(secret.NewUUID4()), Tenant: t, Name: name, Created: now, Changed: now}
	_, err = tx.Exec(ctx, `insert into trust_container (tenant_id, id, name, created, changed, removed) values ($1, $2, $3, $4, $5, 0)`,
		t, c.ID, c.Name, now.UnixMilli(), now.UnixMilli())
	if err != nil {
		return Container{}, fmt.Errorf("make container: %w", err)
	}
	return c, nil
}

// RenameContainer gives a container another name.
func (s *Store) RenameContainer(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id ContainerID, name string) (Container, error) {
	name, err := containerName(name)
	if err != nil {
		return Container{}, err
	}
	n, err := tx.Exec(ctx, `update trust_container set name = $3, changed = $4 where tenant_id = $1 and id = $2 and removed = 0`,
		t, id, name, s.now().UnixMilli())
	if err != nil {
		return Container{}, fmt.Errorf("rename container %s: %w", id, err)
	}
	if n == 0 {
		return Container{}, noContainer(id)
	}
	return s.Container(ctx, tx, t, id)
}

// RemoveContainer removes a container with the authorities in it, and gives
// those. Each of them can be restored by itself, and its container with it.
func (s *Store) RemoveContainer(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id ContainerID) ([]Authority, error) {
	if err := lock(ctx, tx, t); err != nil {
		return nil, err
	}
	if _, err := s.Container(ctx, tx, t, id); err != nil {
		return nil, err
	}
	in, err := authorities(ctx, tx, `where tenant_id = $1 and container_id = $2 and removed = 0 order by created, id`, t, id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	_, err = tx.Exec(ctx, `
		update trust_authority set removed = $3, changed = $4, version = version + 1 where tenant_id = $1 and container_id = $2 and removed = 0`,
		t, id, now.UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("remove the authorities of container %s: %w", id, err)
	}
	if err := markContainer(ctx, tx, t, id, now.UnixMilli()); err != nil {
		return nil, err
	}
	for i := range in {
		in[i].Removed, in[i].Changed = now, now
		in[i].Version++
	}
	if err := s.withdraw(ctx, tx, t); err != nil {
		return nil, err
	}
	return in, s.changed(ctx, tx, t)
}

func markContainer(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id ContainerID, removed int64) error {
	if _, err := tx.Exec(ctx, `update trust_container set removed = $3 where tenant_id = $1 and id = $2`, t, id, removed); err != nil {
		return fmt.Errorf("mark container %s: %w", id, err)
	}
	return nil
}

// containerFor is the one that is named, or the tenant's first.
func (s *Store) containerFor(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id ContainerID) (Container, error) {
	if id != "" {
		return s.Container(ctx, tx, t, id)
	}
	all, err := s.Containers(ctx, tx, t)
	if err != nil {
		return Container{}, err
	}
	if len(all) > 0 {
		return all[0], nil
	}
	return s.CreateContainer(ctx, tx, t, firstContainer)
}

func containerName(name string) (string, error) {
	clean := strings.TrimSpace(audit.Clean(name, maxName+1))
	if clean == "" || len([]rune(clean)) > maxName {
		return "", idp.Invalidf("bad_container", "name of %d characters", len([]rune(clean))).On("displayName").Say("A container needs a name of up to 256 characters.")
	}
	return clean, nil
}

func noContainer(id ContainerID) error {
	return idp.NotFoundf("container_unknown", "container %q", audit.Clean(string(id), 64)).Say("There is no such container of certificate authorities.")
}
