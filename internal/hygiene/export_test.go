package hygiene

import "github.com/signetid/signet/internal/directory"

// Parse gives the ids of the rows of a file, "" for bad ones, and what is wrong.
func Parse(file string) (ids []string, bad []directory.BadRow, err error) {
	read, err := parse(file)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range read.rows {
		ids = append(ids, r.id)
	}
	return ids, read.bad, nil
}
