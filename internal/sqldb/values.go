package sqldb

import (
	"fmt"
	"reflect"
)

// Both databases bind and scan by the rules of this file, so that what works
// on one works on the other: texts, bytes, truths and whole numbers, of named
// types as well (idp.UserID). Everything else is refused, rather than
// converted by each driver in its own way.

var textType = reflect.TypeFor[string]()

// plain turns argument i, counted from 0, into one of the four types that both
// drivers bind alike: string, []byte, bool and int64. Named types become what
// they are made of, and nil bytes become empty ones, since columns have no
// NULL.
func plain(i int, arg any) (any, error) {
	switch v := arg.(type) {
	case string, bool, int64:
		return v, nil
	case int:
		return int64(v), nil
	case []byte:
		if v == nil {
			return []byte{}, nil
		}
		return v, nil
	}
	v := reflect.ValueOf(arg)
	switch v.Kind() {
	case reflect.String:
		return v.Convert(textType).Interface(), nil // unlike v.String(), without a copy on the heap
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(v.Uint()), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append([]byte{}, v.Bytes()...), nil
		}
	}
	return nil, fmt.Errorf("argument $%d is a %T; bind a string, []byte, bool or integer", i+1, arg)
}

// assign copies column i, counted from 0 and as a driver gave it, to where
// dest points. Bytes are copied, as they may be the driver's own, and are
// never nil. SQLite's truths are the numbers 0 and 1, so on both databases
// they may be scanned as either.
func assign(i int, dest, column any) error {
	var ok bool
	switch v := column.(type) {
	case string:
		ok = assignText(dest, v)
	case []byte:
		ok = assignBytes(dest, append([]byte{}, v...))
	case int64:
		ok = assignNumber(dest, v)
	case bool:
		var n int64
		if v {
			n = 1
		}
		ok = assignNumber(dest, n)
	case nil:
		return fmt.Errorf("column %d is NULL", i+1)
	}
	if !ok {
		return fmt.Errorf("column %d is a %T that does not fit into %T", i+1, column, dest)
	}
	return nil
}

// assignText also fills bytes: JSON is kept as text and parsed from bytes.
func assignText(dest any, v string) bool {
	if d, ok := dest.(*string); ok {
		*d = v
		return true
	}
	if d := target(dest); d.Kind() == reflect.String {
		d.SetString(v)
		return true
	}
	return assignBytes(dest, []byte(v))
}

// assignBytes gives v away.
func assignBytes(dest any, v []byte) bool {
	if d, ok := dest.(*[]byte); ok {
		*d = v
		return true
	}
	d := target(dest)
	if d.Kind() != reflect.Slice || d.Type().Elem().Kind() != reflect.Uint8 {
		return false
	}
	d.SetBytes(v)
	return true
}

func assignNumber(dest any, v int64) bool {
	if d, ok := dest.(*int64); ok {
		*d = v
		return true
	}
	d := target(dest)
	switch d.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.SetInt(v)
		return !d.OverflowInt(v)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		d.SetUint(uint64(v))
		return v >= 0 && !d.OverflowUint(uint64(v))
	case reflect.Bool:
		d.SetBool(v == 1)
		return v == 0 || v == 1
	}
	return false
}

// target is what dest points to, or of no kind when dest is no pointer.
func target(dest any) reflect.Value {
	if p := reflect.ValueOf(dest); p.Kind() == reflect.Pointer {
		return p.Elem()
	}
	return reflect.Value{}
}

func errCount(columns, dests int) error {
	return fmt.Errorf("the row has %d columns; scan as many, not %d", columns, dests)
}
