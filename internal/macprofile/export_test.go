package macprofile

// What tests of the package see of property lists.
type (
	Dict  = dict
	Entry = entry
)

var (
	Read  = read
	Write = write
)

// Set gives a key of a dictionary another value; nil takes the key out.
func Set(d Dict, name string, v any) Dict {
	out := Dict{}
	for _, e := range d {
		if e.key != name {
			out = append(out, e)
		}
	}
	if v != nil {
		out = append(out, Entry{name, v})
	}
	return out
}

// Get is the value of a key.
func Get(d Dict, name string) any { return d.get(name) }
